import dns from 'node:dns'
import { EventEmitter, once } from 'node:events'
import type { LookupAddress } from 'node:dns'
import type { Http2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { requireSpiffeId, spiffePlugin, spiffeServerFactory } from '../../src/adapters/fastify/index.js'
import { SpiffeHttp2Client } from '../../src/adapters/http2/index.js'
import { authorizeMemberOf } from '../../src/tls/index.js'
import { gullible, request, talk } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { agentOf } from './frameworks.js'

let a: TestCa

beforeAll(async () => {
  a = await TestCa.create()
})

async function newApp(host = '127.0.0.1') {
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  const app = Fastify({ serverFactory: spiffeServerFactory(source, { authorize: authorizeMemberOf('a.test') }) })
  onTestFinished(() => app.close())
  const reached: string[] = []
  const slow = new EventEmitter()
  app.register(spiffePlugin)
  app.register((scope, _options, done) => {
    scope.get('/who', (req) => ({ id: req.caller?.id, by: req.caller?.provedBy }))
    scope.get('/web', { onRequest: requireSpiffeId('spiffe://a.test/web') }, (req) => {
      reached.push(String(req.caller?.id))
      return 'web'
    })
    scope.get('/slow', () => new Promise((resolve) => slow.emit('request', () => resolve('slow'))))
    scope.get('/team', { preHandler: requireSpiffeId(['spiffe://a.test/web', 'spiffe://a.test/api']) }, () => 'team')
    done()
  })
  await app.listen({ host, port: 0 })
  const address = app.server.address()
  return { app, source, reached, slow, port: typeof address === 'object' && address ? address.port : 0 }
}

// 127.0.0.2 stands for ::1, which not every machine has.
const both = [
  { address: '127.0.0.1', family: 4 },
  { address: '127.0.0.2', family: 4 },
] satisfies LookupAddress[]

function mockLocalhost(): void {
  const lookup = vi.spyOn(dns, 'lookup').mockImplementation((host: string, ...rest: unknown[]) => {
    const answer = rest.at(-1) as (error: null, ...found: unknown[]) => void
    const found = host === 'localhost' ? both : both.filter(({ address }) => address === host)
    if ((rest[0] as dns.LookupOptions).all) answer(null, found)
    else answer(null, found[0]?.address, 4)
  })
  onTestFinished(() => lookup.mockRestore())
}

async function newAppOnLocalhost() {
  mockLocalhost()
  const started = await newApp('localhost')
  const agent = await agentOf(a, 'spiffe://a.test/web')
  // The other addresses open just after the first.
  await vi.waitFor(() => request({ host: '127.0.0.2', port: started.port, agent, path: '/web' }))
  agent.destroy()
  started.reached.length = 0
  return started
}

describe('Fastify', () => {
  test('has the proved caller on the request, in every scope', async () => {
    const { port } = await newApp()
    const agent = await agentOf(a, 'spiffe://a.test/web')
    const { body } = await request({ port, agent, path: '/who' })
    expect(JSON.parse(body)).toEqual({ id: 'spiffe://a.test/web', by: 'x509-svid' })
  })

  test('a route lets in those it names, and answers others 403 with a problem body', async () => {
    const { port, reached } = await newApp()
    const web = await agentOf(a, 'spiffe://a.test/web')
    const stranger = await agentOf(a, 'spiffe://a.test/stranger')
    for (const path of ['/web', '/team']) {
      expect((await request({ port, agent: web, path })).status).toBe(200)
      const { status, headers, body } = await request({ port, agent: stranger, path })
      expect(status).toBe(403)
      expect(headers['content-type']).toMatch(/^application\/problem\+json/)
      expect(JSON.parse(body)).toMatchObject({ status: 403, code: 'ERR_PEER_NOT_AUTHORIZED' })
    }
    expect(reached).toEqual(['spiffe://a.test/web'])
  })

  test('fails closed where nobody was proved', async () => {
    const { app, reached } = await newApp()
    const answer = await app.inject({ path: '/web' })
    expect(answer.statusCode).toBe(403)
    expect(answer.json()).toMatchObject({ code: 'ERR_PEER_NOT_PROVED' })
    expect((await app.inject({ path: '/who' })).json()).toEqual({})
    expect(reached).toEqual([])
  })

  test('proves clients on every address of localhost', async () => {
    const { app, port } = await newAppOnLocalhost()
    const web = await agentOf(a, 'spiffe://a.test/web')
    const impostor = await (await TestCa.create()).leaf({ uris: ['spiffe://a.test/web'] })
    for (const { address } of both) {
      expect((await request({ host: address, port, agent: web, path: '/web' })).status).toBe(200)
      const { heard } = await talk(
        { ...gullible(impostor), host: address, port },
        'GET /web HTTP/1.1\r\nhost: a\r\n\r\n',
      )
      expect(heard).toBe('')
    }
    web.destroy()
    await app.close()
    for (const { address } of both) await expectRefused(address, port)
  })

  for (const { address } of both)
    test(`accepts on no address while a request on ${address} is still to finish`, async () => {
      const { app, port, slow } = await newAppOnLocalhost()
      const web = await agentOf(a, 'spiffe://a.test/web')
      const arrival = once(slow, 'request') as Promise<[() => void]>
      const pending = request({ host: address, port, agent: web, path: '/slow' })
      const [answer] = await arrival
      let closed = false
      const closing = app.close().then(() => (closed = true))
      await expect.poll(() => app.server.listening).toBe(false)
      for (const other of both) await expectRefused(other.address, port)
      expect(closed).toBe(false)
      answer()
      expect((await pending).body).toBe('slow')
      web.destroy()
      await closing
    })
})

async function expectRefused(host: string, port: number): Promise<void> {
  await expect(request({ host, port, agent: false })).rejects.toMatchObject({ code: 'ECONNREFUSED' })
}

describe('Fastify with http2: true', () => {
  async function newHttp2App(options: { allowHTTP1?: boolean } = {}, more: { http2SessionTimeout?: number } = {}) {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
    const serverFactory = spiffeServerFactory(source, { authorize: authorizeMemberOf('a.test'), ...options })
    const app = Fastify({ http2: true, serverFactory, ...more })
    onTestFinished(() => app.close())
    app.register(spiffePlugin)
    app.get('/web', { onRequest: requireSpiffeId('spiffe://a.test/web') }, (req) => req.caller?.id)
    return app
  }

  const portOf = (app: FastifyInstance) => (app.server.address() as AddressInfo).port

  async function clientOf(id: string, host: string, port: number) {
    const source = new TestSource(await a.svid(id), a.bundle('a.test'))
    const client = new SpiffeHttp2Client(source, `https://${host}:${port}`, { authorize: 'spiffe://a.test/server' })
    onTestFinished(() => client.destroy())
    return client
  }

  async function statusOf(client: SpiffeHttp2Client) {
    const [headers] = (await once(client.request({ ':path': '/web' }).resume(), 'response')) as [{ ':status': number }]
    return headers[':status']
  }

  test('proves callers, and routes decide, over HTTP/2 and with allowHTTP1 over HTTP/1', async () => {
    const app = await newHttp2App({ allowHTTP1: true })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const port = portOf(app)
    for (const [id, status] of [
      ['spiffe://a.test/web', 200],
      ['spiffe://a.test/stranger', 403],
    ] as const) {
      expect(await statusOf(await clientOf(id, '127.0.0.1', port))).toBe(status)
      expect((await request({ port, agent: await agentOf(a, id), path: '/web' })).status).toBe(status)
    }
  })

  test('serves nothing over HTTP/1 when it is not told to', async () => {
    const app = await newHttp2App()
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { cert, key } = await a.leaf({ uris: ['spiffe://a.test/web'] })
    const options = { ...gullible({ cert, key }), port: portOf(app), ALPNProtocols: ['http/1.1'] }
    const { heard, error } = await talk(options, 'GET /web HTTP/1.1\r\nhost: a\r\n\r\n')
    expect(heard).toBe('')
    expect(error).toBeDefined()
  })

  test('ends sessions that are idle for http2SessionTimeout', async () => {
    const app = await newHttp2App({}, { http2SessionTimeout: 50 })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const opened = once(app.server, 'session') as Promise<[Http2Session]>
    expect(await statusOf(await clientOf('spiffe://a.test/web', '127.0.0.1', portOf(app)))).toBe(200)
    const [session] = await opened
    if (!session.closed) await once(session, 'close')
  })

  test('proves clients on every address of localhost, and closes though sessions stand', async () => {
    mockLocalhost()
    const app = await newHttp2App()
    await app.listen({ host: 'localhost', port: 0 })
    const port = portOf(app)
    for (const { address } of both) {
      const [web, stranger] = [
        await clientOf('spiffe://a.test/web', address, port),
        await clientOf('spiffe://a.test/stranger', address, port),
      ]
      // The other addresses open just after the first.
      await vi.waitFor(async () => expect(await statusOf(web)).toBe(200))
      expect(await statusOf(stranger)).toBe(403)
    }
    await app.close()
    for (const { address } of both) await expectRefused(address, port)
  })
})
