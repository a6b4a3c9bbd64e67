import { once } from 'node:events'
import * as http2 from 'node:http2'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { attachSpiffeToServer, authorizeAny, callerOf, createTlsOptionsForServer } from '../../src/tls/index.js'
import { codeOf, gullible, listen } from '../tls/network.js'
import { TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { clientKinds } from './kinds.js'

let a: TestCa
let first: Credential
let second: Credential

beforeAll(async () => {
  a = await TestCa.create()
  first = await a.leaf({ uris: ['spiffe://a.test/first'] })
  second = await a.leaf({ uris: ['spiffe://a.test/second'] })
})

const versions = ['TLSv1.2', 'TLSv1.3'] as const
const fixedKeys = Buffer.alloc(48, 7)

/** A server of an application that does all it can to let sessions resume. */
async function start(clients: 'required' | 'optional' = 'required') {
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  const rejected: unknown[] = []
  const sessions = new Map<string, Buffer>()
  const made = { ...createTlsOptionsForServer(source, { minVersion: 'TLSv1.2' }), ticketKeys: fixedKeys }
  const server = tls.createServer(made, (socket) => {
    socket.on('error', () => undefined)
    socket.end(callerOf(socket)?.id.path ?? 'anonymous')
  })
  server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => {
    sessions.set(id.toString('hex'), data)
    done()
  })
  server.on('resumeSession', (id: Buffer, done: (error: null, data: Buffer | null) => void) =>
    done(null, sessions.get(id.toString('hex')) ?? null),
  )
  const onRejected = (error: Error) => void rejected.push(codeOf(error))
  attachSpiffeToServer(server, source, { authorize: authorizeAny(), clients, onRejected })
  return { server, rejected, port: await listen(server) }
}

interface Visit {
  heard: string
  session: Buffer | undefined
}

/** Connects, hears what the server says, and keeps the last session that it offered. */
function visit(options: tls.ConnectionOptions): Promise<Visit> {
  return new Promise((resolve) => {
    let heard = ''
    let session: Buffer | undefined
    const socket = tls.connect(options)
    socket.on('session', (offered: Buffer) => (session = offered))
    socket.on('data', (chunk) => (heard += String(chunk)))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve({ heard, session }))
  })
}

describe.each(versions)('resumption of a session (%s)', (version) => {
  test('is not offered: the second connection is proved as the first was', async () => {
    const { port, rejected } = await start()
    const options = { port, minVersion: version, maxVersion: version }
    const { heard, session } = await visit({ ...gullible(first), ...options })
    expect(heard).toBe('/first')
    const again = await visit({ ...gullible(second), ...options, ...(session && { session }) })
    // It is either proved anew or cut off, and never taken for the first.
    expect(again.heard === '/second' || rejected.includes('ERR_SESSION_RESUMED')).toBe(true)
    expect(again.heard).not.toBe('/first')
  })

  for (const clients of ['required', 'optional'] as const)
    test(`is cut off where the application brought it back (${clients})`, async () => {
      const { server, port, rejected } = await start(clients)
      const options = { port, minVersion: version, maxVersion: version }
      const credential = clients === 'required' ? first : undefined
      await visit({ ...gullible(credential), ...options })
      const { cert, key } = await a.leaf({ uris: ['spiffe://a.test/server'] })
      server.setSecureContext({ cert, key, ca: a.certificate.toPem(), ticketKeys: fixedKeys })
      const { heard, session } = await visit({ ...gullible(credential), ...options })
      expect(heard).toBe(clients === 'required' ? '/first' : 'anonymous')
      expect(session).toBeDefined()
      const again = await visit({ ...gullible(credential), ...options, ...(session && { session }) })
      expect(again.heard).toBe('')
      expect(rejected).toEqual(['ERR_SESSION_RESUMED'])
    })
})

describe.each(clientKinds)('a client ($name)', ({ name, call }) => {
  test('makes a full handshake each time, whatever the server offers', async () => {
    const source = new TestSource(await a.svid('spiffe://a.test/me'), a.bundle('a.test'))
    const { cert, key } = await a.leaf({ uris: ['spiffe://a.test/server'] })
    const resumed: boolean[] = []
    const options = { cert, key, ticketKeys: fixedKeys, allowHTTP1: true }
    const server = http2.createSecureServer(options, (req, res) => {
      if (req.httpVersionMajor === 1) res.setHeader('connection', 'close')
      res.end('in')
    })
    server.on('secureConnection', (socket: tls.TLSSocket) => resumed.push(socket.isSessionReused()))
    const port = await listen(server)
    for (let i = 0; i < 3; i++) expect(await call(source, authorizeAny(), port)).toContain('in')
    expect(resumed, name).toEqual([false, false, false])
  })
})

test('a plain client does resume with these servers, or the tests above show nothing', async () => {
  const { cert, key } = await a.leaf({ uris: ['spiffe://a.test/server'] })
  const server = tls.createServer({ cert, key, ticketKeys: fixedKeys }, (socket) => socket.end('in'))
  const port = await listen(server)
  const { session } = await visit({ ...gullible(), port })
  const socket = tls.connect({ ...gullible(), port, ...(session && { session }) })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  expect(socket.isSessionReused()).toBe(true)
})
