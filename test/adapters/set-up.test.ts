import { EventEmitter, once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import * as grpc from '@grpc/grpc-js'
import { request as undiciRequest } from 'undici'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { callerOfCall, createGrpcChannelCredentials, serveGrpc } from '../../src/adapters/grpc/index.js'
import { connectHttp2, createHttp2Server, SpiffeHttp2Client } from '../../src/adapters/http2/index.js'
import { SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import { authorizeAny, createTlsOptionsForClient } from '../../src/tls/index.js'
import type { Authorize, CipherPolicy, ClientTlsOptions } from '../../src/tls/index.js'
import { listen, request } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa
const serverId = 'spiffe://a.test/server'
const clientId = 'spiffe://a.test/client'

beforeAll(async () => {
  a = await TestCa.create()
})

const sourceOf = async (id: string) => new TestSource(await a.svid(id), a.bundle('a.test'))

/** Asks the server of {@link start} once; rejects when the connection ends before the answer. */
type Call = (source: TestSource, options: CipherPolicy & { authorize: Authorize }, port: number) => Promise<string>

const kinds: Record<'https' | 'undici' | 'http2' | 'grpc', Call> = {
  async https(source, options, port) {
    const agent = new SpiffeHttpsAgent(source, options)
    onTestFinished(() => agent.destroy())
    return (await request({ port, agent })).body
  },
  async undici(source, options, port) {
    const dispatcher = createDispatcher(source, options)
    onTestFinished(() => dispatcher.destroy())
    return (await undiciRequest(`https://127.0.0.1:${port}`, { dispatcher })).body.text()
  },
  async http2(source, options, port) {
    const client = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, options)
    onTestFinished(() => client.destroy())
    let heard = ''
    for await (const chunk of client.request()) heard += String(chunk)
    return heard
  },
  async grpc(source, options, port) {
    const client = new grpc.Client(`127.0.0.1:${port}`, createGrpcChannelCredentials(source, options))
    onTestFinished(() => client.close())
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(wait.path, write, String, 'hello', (error, answer) =>
        error ? reject(error) : resolve(answer ?? ''),
      )
    })
  },
}

const write = (value: string) => Buffer.from(value)
const wait = {
  path: '/test.Wait/Wait',
  requestStream: false,
  responseStream: false,
  requestSerialize: write,
  requestDeserialize: String,
  responseSerialize: write,
  responseDeserialize: String,
} as const

/** A server that says with `arrived` how to answer what has come. */
async function start(kind: string, arrived: EventEmitter): Promise<number> {
  const source = await sourceOf(serverId)
  if (kind !== 'grpc') {
    const options = { authorize: clientId, allowHTTP1: true }
    return listen(createHttp2Server(source, options, (_req, res) => arrived.emit('call', () => res.end('done'))))
  }
  const server = new grpc.Server()
  server.addService(
    { wait },
    { wait: (_call: unknown, done: grpc.sendUnaryData<string>) => arrived.emit('call', () => done(null, 'done')) },
  )
  onTestFinished(() => server.forceShutdown())
  return listen(serveGrpc(server, source, { authorize: clientId }))
}

describe('what a client was told at set-up counts, whatever happens to the options later', () => {
  for (const [kind, call] of Object.entries(kinds)) {
    /** Starts a call, changes the options while the server has it, has peers judged again and lets the server answer. */
    async function callWith(options: { authorize: Authorize }, change: () => void): Promise<string> {
      const arrived = new EventEmitter()
      const source = await sourceOf(clientId)
      const arrival = once(arrived, 'call') as Promise<[() => void]>
      const pending = call(source, options, await start(kind, arrived))
      const [answer] = await arrival
      change()
      source.use(source.getX509Svid(), a.bundle('a.test'))
      answer()
      return pending
    }

    test(`${kind}: a server stays admitted`, async () => {
      const list = [serverId]
      const options = { authorize: list }
      const change = () => {
        list[0] = 'spiffe://a.test/other'
        options.authorize = ['spiffe://a.test/other']
      }
      expect(await callWith(options, change)).toBe('done')
    })

    test(`${kind}: the first authorizer ends a connection, not the one that took its place`, async () => {
      let admits = true
      const options = { authorize: () => admits }
      const change = () => {
        admits = false
        options.authorize = () => true
      }
      await expect(callWith(options, change)).rejects.toThrow()
    })
  }
})

describe('what a client may offer of TLS is what it offers', () => {
  const [ciphers, ecdhCurve] = ['TLS_CHACHA20_POLY1305_SHA256', 'P-521']

  for (const [kind, call] of Object.entries(kinds))
    test(`by ${kind}`, async () => {
      const options = { authorize: authorizeAny(), allowHTTP1: true }
      const server = createHttp2Server(await sourceOf(serverId), options, (_req, res) => res.end('done'))
      const port = await listen(server)
      const arrival = once(server, 'secureConnection') as Promise<[TLSSocket]>
      // The server is no gRPC server, so such a call fails later.
      void call(await sourceOf(clientId), { authorize: serverId, ciphers, ecdhCurve }, port).catch(() => undefined)
      const [socket] = await arrival
      expect(socket.getCipher().name).toBe(ciphers)
      const other = await listen(createHttp2Server(await sourceOf(serverId), { ...options, ecdhCurve: 'X25519' }))
      await expect(call(await sourceOf(clientId), { authorize: serverId, ecdhCurve }, other)).rejects.toThrow()
    })

  test('and an offer that cannot be made is refused at once', async () => {
    const source = await sourceOf(clientId)
    for (const offer of [{ ciphers: 'NONE' }, { sigalgs: 'none' }, { ecdhCurve: 'none' }, { ciphers: 1 as never }]) {
      expect(() => createTlsOptionsForClient(source, { authorize: serverId, ...offer })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
    }
  })

  test('and sessionOptions, where it would have no effect, is no place for it', async () => {
    const source = await sourceOf(clientId)
    const sessionOptions = { ciphers } as never
    expect(() => connectHttp2(source, 'https://127.0.0.1:1', { authorize: serverId, sessionOptions })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
  })
})

describe('a misspelt option is refused, not taken for the default', () => {
  for (const [kind, call] of Object.entries(kinds))
    for (const wrong of [{ onTrustWithdrawn: 'Keep' }, { checkHostname: 'true' }, { checkHostname: 1 }] as never[])
      test(`${JSON.stringify(wrong)} by ${kind}`, async () => {
        const source = await sourceOf(clientId)
        const calling = (async () => call(source, Object.assign({ authorize: serverId }, wrong), 1))()
        await expect(calling).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
      })

  test('maxConnectionAgeMs by serveGrpc, which has an option of its own for it', async () => {
    const options = { authorize: clientId, maxConnectionAgeMs: 1000 }
    const source = await sourceOf(serverId)
    expect(() => serveGrpc(new grpc.Server(), source, options)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
    expect(source.listeners).toBe(0)
  })
})

describe('an ordinary web server is proved by its host name', () => {
  const origins = {
    async undici(source, options, port, host) {
      const dispatcher = createDispatcher(source, options)
      onTestFinished(() => dispatcher.destroy())
      return (await undiciRequest(`https://${host}:${port}`, { dispatcher })).body.text()
    },
    async http2(source, options, port, host) {
      const client = new SpiffeHttp2Client(source, `https://${host}:${port}`, options)
      onTestFinished(() => client.destroy())
      let heard = ''
      for await (const chunk of client.request()) heard += String(chunk)
      return heard
    },
    async grpc(source, options, port, host) {
      const client = new grpc.Client(`${host}:${port}`, createGrpcChannelCredentials(source, options))
      onTestFinished(() => client.close())
      // The server is no gRPC server: that it is reached is all there is to see.
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(wait.path, write, String, 'hello', (error) =>
          error?.code === grpc.status.UNAVAILABLE ? reject(error) : resolve(clientId),
        )
      })
    },
  } satisfies Record<
    string,
    (source: TestSource, options: ClientTlsOptions, port: number, host: string) => Promise<string>
  >

  for (const [kind, call] of Object.entries(origins))
    test(`by ${kind}, and sees our SVID`, async () => {
      const web = await TestCa.create()
      const seen: string[] = []
      const serve = async (dnsNames: string[], issuer = web) => {
        const { cert, key } = await issuer.leaf({ uris: [], dnsNames })
        const asking = { cert, key, requestCert: true, rejectUnauthorized: false, allowHTTP1: true }
        const server = createSecureServer(asking, (req, res) => {
          seen.push((req.socket as TLSSocket).getPeerCertificate().subjectaltname ?? '')
          res.end(clientId)
        })
        return listen(server)
      }
      const options: ClientTlsOptions = { webServer: { ca: [web.certificate.toPem()] } }
      expect(await call(await sourceOf(clientId), options, await serve(['localhost']), 'localhost')).toBe(clientId)
      expect(seen).toEqual([`URI:${clientId}`])
      for (const port of [await serve(['other.test']), await serve(['localhost'], a)]) {
        await expect(call(await sourceOf(clientId), options, port, 'localhost')).rejects.toThrow()
      }
      expect(seen).toHaveLength(1)
    })
})

test('checkHostname of the agent refuses a proved server that has another name', async () => {
  const { cert, key } = await a.leaf({ uris: [serverId], dnsNames: ['localhost'] })
  const port = await listen(createSecureServer({ cert, key, allowHTTP1: true }, (_req, res) => res.end('in')))
  const agent = new SpiffeHttpsAgent(await sourceOf(clientId), { authorize: serverId, checkHostname: true })
  onTestFinished(() => agent.destroy())
  expect((await request({ port, agent, servername: 'localhost' })).body).toBe('in')
  await expect(request({ port, agent, servername: 'other.test' })).rejects.toMatchObject({
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})

test("'grpc.max_connection_age_ms' brings a client back with its newest SVID", async () => {
  const serials: string[] = []
  const server = new grpc.Server({ 'grpc.max_connection_age_ms': 100, 'grpc.max_connection_age_grace_ms': 100 })
  const answer = (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) => {
    serials.push(callerOfCall(call)?.certificate.serialNumber ?? '')
    done(null, 'done')
  }
  server.addService({ wait }, { wait: answer })
  onTestFinished(() => server.forceShutdown())
  const port = await listen(serveGrpc(server, await sourceOf(serverId), { authorize: clientId }))
  const source = await sourceOf(clientId)
  const client = new grpc.Client(`127.0.0.1:${port}`, createGrpcChannelCredentials(source, { authorize: serverId }))
  onTestFinished(() => client.close())
  const call = () =>
    new Promise((resolve) => client.makeUnaryRequest(wait.path, write, String, 'hello', (error) => resolve(error)))
  expect(await call()).toBeNull()
  source.use(await a.svid(clientId))
  await expect
    .poll(
      async () => {
        await call()
        return serials.at(-1)
      },
      { timeout: 5_000 },
    )
    .toBe(source.getX509Svid().serialNumber)
  expect(serials[0]).not.toBe(serials.at(-1))
})
