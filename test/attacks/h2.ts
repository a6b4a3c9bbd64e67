import * as http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import * as tls from 'node:tls'
import * as grpc from '@grpc/grpc-js'
import Fastify from 'fastify'
import { onTestFinished } from 'vitest'
import { spiffeServerFactory } from '../../src/adapters/fastify/index.js'
import { createGrpcChannelCredentials, serveGrpc } from '../../src/adapters/grpc/index.js'
import { connectHttp2, createHttp2Server, SpiffeHttp2Client } from '../../src/adapters/http2/index.js'
import type { Authorize, IdentitySource } from '../../src/tls/index.js'
import { listen } from '../tls/network.js'
import type { ClientKind, ServerKind } from './kinds.js'
import { recorder } from './recorder.js'

/** Speaks HTTP/2 with the last flight of the handshake, and returns the status of the answer, or nothing. */
export function speakHttp2(options: tls.ConnectionOptions, path = '/'): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({ host: '127.0.0.1', ...options, ALPNProtocols: ['h2'] })
    socket.on('error', () => undefined)
    const session = http2.connect('https://127.0.0.1', { createConnection: () => socket })
    session.on('error', () => undefined)
    let heard = ''
    const stream = session.request({ ':path': path, ':method': 'POST', 'content-type': 'application/grpc' })
    stream.on('response', (headers) => {
      heard = `${headers[':status'] ?? ''} ${String(headers['grpc-status'] ?? '')}`.trim()
    })
    stream.on('error', () => undefined)
    stream.on('close', () => {
      session.destroy()
      resolve(heard)
    })
    // A gRPC message of one byte; the other servers do not mind it.
    stream.resume().end(Buffer.from([0, 0, 0, 0, 1, 120]))
  })
}

const say = {
  path: '/test.Echo/Say',
  requestStream: false,
  responseStream: false,
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
} as const

const speak = (options: tls.ConnectionOptions) => speakHttp2(options, say.path)

export const http2ServerKinds: ServerKind[] = [
  {
    name: 'http2',
    speak,
    denied: /^403$/,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = createHttp2Server(source, options, (req, res) => {
        handled.push(req.url)
        res.end('in')
      })
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'http2, streams of a session',
    speak,
    denied: /^403$/,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = createHttp2Server(source, options)
      server.on('session', (session) =>
        session.on('stream', (stream, headers) => {
          stream.on('error', () => undefined)
          if (stream.destroyed) return
          handled.push(String(headers[':path']))
          stream.respond({ ':status': 200 })
          stream.end('in')
        }),
      )
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'fastify, HTTP/2',
    speak,
    denied: /^403$/,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const app = Fastify({ http2: true, serverFactory: spiffeServerFactory(source, options) })
      onTestFinished(() => app.close())
      app.addContentTypeParser('*', (_req, body, done) => void body.resume().on('end', () => done(null)))
      app.all('*', (req) => {
        handled.push(req.url)
        return 'in'
      })
      await app.listen({ port: 0, host: '127.0.0.1' })
      const server = app.server as unknown as tls.Server
      return { server, port: (server.address() as AddressInfo).port, handled, rejected }
    },
  },
  {
    name: 'grpc',
    speak,
    denied: /^200 7$/,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = new grpc.Server()
      server.addService(
        { say },
        {
          say: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) => {
            handled.push(call.getPath())
            done(null, 'in')
          },
        },
      )
      onTestFinished(() => server.forceShutdown())
      const terminator = serveGrpc(server, source, options)
      return { server: terminator, port: await listen(terminator), handled, rejected }
    },
  },
]

export const http2ClientKinds: ClientKind[] = [
  {
    name: 'connectHttp2',
    call: (source, authorize, port) => requestOn(connectHttp2(source, `https://127.0.0.1:${port}`, { authorize })),
  },
  {
    name: 'SpiffeHttp2Client',
    call(source, authorize, port) {
      const client = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, { authorize })
      onTestFinished(() => client.destroy())
      return readAll(client.request())
    },
  },
  { name: 'grpc', call: callGrpc },
]

function requestOn(session: http2.ClientHttp2Session): Promise<string> {
  onTestFinished(() => session.destroy())
  return new Promise((resolve, reject) => {
    session.on('error', reject)
    readAll(session.request()).then(resolve, reject)
  })
}

async function readAll(stream: http2.ClientHttp2Stream): Promise<string> {
  let heard = ''
  for await (const chunk of stream) heard += String(chunk)
  return heard
}

/** The server of the attack is no gRPC server, so a call that gets through fails as well, in another way. */
async function callGrpc(source: IdentitySource, authorize: Authorize, port: number): Promise<string> {
  const client = new grpc.Client(`127.0.0.1:${port}`, createGrpcChannelCredentials(source, { authorize }))
  onTestFinished(() => client.close())
  const deadline = Date.now() + 10_000
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = say
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, 'hello', { deadline }, (error) => {
      if (error?.code === grpc.status.UNAVAILABLE) reject(error)
      else resolve('in')
    })
  })
}
