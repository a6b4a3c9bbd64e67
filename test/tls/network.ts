import { once } from 'node:events'
import * as https from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import * as tls from 'node:tls'
import type { Credential } from './test-ca.js'

/** Listens on a free port of 127.0.0.1. */
export async function open(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The same, until the test ends. */
export async function listen(server: Server): Promise<number> {
  const { onTestFinished } = await import('vitest')
  const connected = new Set<{ destroy: () => void }>()
  server.on('connection', (socket) => {
    connected.add(socket)
    socket.on('close', () => connected.delete(socket))
  })
  const port = await open(server)
  onTestFinished(async () => {
    if (!server.listening) return
    server.close()
    for (const socket of connected) socket.destroy()
    await once(server, 'close')
  })
  return port
}

export interface Answer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: string
}

/** One HTTPS request, with whatever options `https.request` takes. Rejects with the error that the request emits. */
export function request(
  options: https.RequestOptions & { body?: string; session?: Buffer | undefined },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = options
    const sent = https.request({ host: '127.0.0.1', ...rest }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Options of a client that believes everybody, so that a test sees only what the server does. */
export function gullible(credential?: Pick<Credential, 'cert' | 'key'>): tls.ConnectionOptions & { agent: false } {
  return { ...credential, rejectUnauthorized: false, agent: false, host: '127.0.0.1' }
}

/** Connects, says `text` with the last flight of the handshake, and returns all that comes back until the connection ends, however it ends. */
export function talk(options: tls.ConnectionOptions, text = ''): Promise<{ heard: string; error: Error | undefined }> {
  return new Promise((resolve) => {
    let heard = ''
    let error: Error | undefined
    const socket = tls.connect({ host: '127.0.0.1', ...options })
    if (text !== '') socket.write(text)
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (heard += chunk))
    socket.on('error', (cause: Error) => (error = cause))
    socket.on('close', () => resolve({ heard, error }))
  })
}

export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  return 'code' in error && typeof error.code === 'string' ? error.code : codeOf(error.cause)
}
