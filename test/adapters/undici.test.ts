import { EventEmitter, once } from 'node:events'
import * as http from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { fetch as undiciFetch, getGlobalDispatcher, request, setGlobalDispatcher, type Dispatcher } from 'undici'
import { createHttpsServer } from '../../src/adapters/https/index.js'
import { callerOfRequest } from '../../src/adapters/http/index.js'
import { createDispatcher, type DispatcherOptions } from '../../src/adapters/undici/index.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { authorizeAny } from '../../src/tls/index.js'
import { codeOf, listen } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa
let b: TestCa
const serverId = 'spiffe://a.test/server'
const clientId = 'spiffe://a.test/client'

beforeAll(async () => {
  a = await TestCa.create()
  b = await TestCa.create()
})

async function start(listener?: http.RequestListener) {
  const source = new TestSource(await a.svid(serverId), a.bundle('a.test'))
  const handled: string[] = []
  const server = createHttpsServer(source, { authorize: authorizeAny() }, (req, res) => {
    handled.push(req.url ?? '')
    if (listener) listener(req, res)
    else res.end(callerOfRequest(req)?.certificate.serialNumber)
  })
  return { server, handled, origin: `https://127.0.0.1:${await listen(server)}` }
}

async function plaintext() {
  const handled: string[] = []
  const server = http.createServer((req, res) => {
    handled.push(req.url ?? '')
    res.end('plain')
  })
  return { handled, origin: `http://127.0.0.1:${await listen(server)}` }
}

async function newDispatcher(options: Partial<DispatcherOptions> = {}) {
  const source = new TestSource(await a.svid(clientId), a.bundle('a.test'), b.bundle('b.test'))
  const dispatcher = createDispatcher(source, { authorize: serverId, ...options } as DispatcherOptions)
  onTestFinished(() => dispatcher.destroy())
  return { source, dispatcher }
}

/** The global fetch of every supported Node.js takes this dispatcher; its types are of another undici. */
function fetchWith(dispatcher: Dispatcher, url: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, dispatcher } as unknown as RequestInit)
}

const read = async (answer: Promise<Dispatcher.ResponseData>) => (await answer).body.text()

describe('a dispatcher', () => {
  test("serves undici's own request", async () => {
    const { origin } = await start()
    const { dispatcher, source } = await newDispatcher()
    expect(await read(request(origin, { dispatcher }))).toBe(source.getX509Svid().serialNumber)
  })

  test('serves the global fetch, with GET and with a body', async () => {
    const { origin } = await start((req, res) => void req.pipe(res))
    const { dispatcher } = await newDispatcher()
    const answer = await fetchWith(dispatcher, origin, { method: 'POST', body: 'x'.repeat(100_000) })
    expect(await answer.text()).toHaveLength(100_000)
    expect(await (await fetchWith(dispatcher, origin)).text()).toBe('')
  })

  test('serves as the global dispatcher', async () => {
    const { origin } = await start()
    const { dispatcher, source } = await newDispatcher()
    const before = getGlobalDispatcher()
    onTestFinished(() => setGlobalDispatcher(before))
    setGlobalDispatcher(dispatcher)
    for (const fetchIt of [fetch, undiciFetch]) {
      const answer = await fetchIt(origin)
      expect(await answer.text()).toBe(source.getX509Svid().serialNumber)
    }
  })

  test('refuses a server that it does not authorize, with our code', async () => {
    const { origin, handled } = await start()
    const { dispatcher } = await newDispatcher({ authorize: 'spiffe://a.test/other' })
    expect(codeOf(await request(origin, { dispatcher }).catch((e: unknown) => e))).toBe('ERR_PEER_NOT_AUTHORIZED')
    expect(codeOf(await fetchWith(dispatcher, origin).catch((e: unknown) => e))).toBe('ERR_PEER_NOT_AUTHORIZED')
    expect(handled).toEqual([])
  })

  test("hands on how undici's agent is to try the addresses of a host", async () => {
    const { origin } = await start()
    const connect = vi.spyOn(tls, 'connect')
    onTestFinished(() => connect.mockRestore())
    const { dispatcher } = await newDispatcher({
      agentOptions: { autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 300 },
    })
    await read(request(origin, { dispatcher }))
    expect(connect.mock.calls[0]?.[0]).toMatchObject({ autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 300 })
  })

  test('an abort reaches the request', async () => {
    const { origin } = await start(() => undefined)
    const { dispatcher } = await newDispatcher()
    const aborted = fetchWith(dispatcher, origin, { signal: AbortSignal.timeout(50) })
    await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' })
  })

  test('without authorize it cannot be made', () =>
    expect(newDispatcher({ authorize: undefined })).rejects.toMatchObject({ code: 'ERR_AUTHORIZER_REQUIRED' }))

  for (const connectTimeoutMs of [0, -1, NaN, '1000'] as never[])
    test(`refuses ${String(connectTimeoutMs)} as the time for a connection`, async () => {
      await expect(newDispatcher({ connectTimeoutMs })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    })

  test('waits for a connection as long as a timer can, and gives up on one that never comes', async () => {
    const { origin } = await start((_req, res) => res.end('in'))
    const patient = (await newDispatcher({ connectTimeoutMs: Infinity })).dispatcher
    expect(await read(request(origin, { dispatcher: patient }))).toBe('in')
    const silent = net.createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const accepted = new Set<net.Socket>()
    silent.on('connection', (socket) => accepted.add(socket.on('error', () => undefined)))
    onTestFinished(() => {
      for (const socket of accepted) socket.destroy()
      silent.close()
    })
    const { dispatcher } = await newDispatcher({ connectTimeoutMs: 50 })
    const { port } = silent.address() as net.AddressInfo
    const error: unknown = await request(`https://127.0.0.1:${port}`, { dispatcher }).catch((e: unknown) => e)
    expect(codeOf(error)).toBe('UND_ERR_CONNECT_TIMEOUT')
  })

  test('cannot be given a connector or a factory by its options', async () => {
    const { origin, handled } = await start()
    const agentOptions = { connect: { rejectUnauthorized: false }, factory: () => getGlobalDispatcher() } as never
    const { dispatcher } = await newDispatcher({ authorize: 'spiffe://a.test/other', agentOptions })
    const error: unknown = await request(origin, { dispatcher }).catch((e: unknown) => e)
    expect(codeOf(error)).toBe('ERR_PEER_NOT_AUTHORIZED')
    expect(handled).toEqual([])
  })
})

describe('plaintext is refused', () => {
  for (const [how, send] of [
    ['by request', (url: string, dispatcher: Dispatcher) => request(url, { dispatcher })],
    ['by the global fetch', (url: string, dispatcher: Dispatcher) => fetchWith(dispatcher, url)],
    ['by the fetch of undici', (url: string, dispatcher: Dispatcher) => undiciFetch(url, { dispatcher })],
    ['by a URL object', (url: string, dispatcher: Dispatcher) => request(new URL(url), { dispatcher })],
  ] as const)
    test(how, async () => {
      const { origin, handled } = await plaintext()
      const { dispatcher } = await newDispatcher()
      expect(codeOf(await send(origin, dispatcher).catch((e: unknown) => e))).toBe('ERR_PLAINTEXT_REFUSED')
      expect(handled).toEqual([])
    })

  test('after a redirect', async () => {
    const plain = await plaintext()
    const { origin } = await start((_req, res) => res.writeHead(302, { location: plain.origin }).end())
    const { dispatcher } = await newDispatcher()
    expect(codeOf(await fetchWith(dispatcher, origin).catch((e: unknown) => e))).toBe('ERR_PLAINTEXT_REFUSED')
    expect(plain.handled).toEqual([])
  })
})

describe('rotation of a dispatcher', () => {
  for (const how of ['use', 'useQuietly'] as const)
    test(`new requests use the new SVID (${how})`, async () => {
      const { origin } = await start()
      const { dispatcher, source } = await newDispatcher()
      for (let i = 0; i < 3; i++) {
        expect(await read(request(origin, { dispatcher }))).toBe(source.getX509Svid().serialNumber)
        source[how](await a.svid(clientId))
      }
    })

  test('requests in flight finish on the old one, whose connection then closes', async () => {
    const arrived = new EventEmitter()
    const { origin, server } = await start((req, res) => {
      arrived.emit('request', () => res.end(callerOfRequest(req)?.certificate.serialNumber))
    })
    const { dispatcher, source } = await newDispatcher()
    const old = source.getX509Svid().serialNumber
    const arrival = once(arrived, 'request') as Promise<[() => void]>
    const pending = read(request(origin, { dispatcher }))
    const [answer] = await arrival
    source.use(await a.svid(clientId))
    answer()
    expect(await pending).toBe(old)
    await new Promise<void>((resolve) => {
      const look = () => server.getConnections((_, n) => (n === 0 ? resolve() : setImmediate(look)))
      look()
    })
  })

  test('a server whose trust was withdrawn is cut off, in flight or not', async () => {
    const arrived = new EventEmitter()
    const { origin } = await start(() => arrived.emit('request'))
    const { dispatcher, source } = await newDispatcher()
    const arrival = once(arrived, 'request')
    const pending = request(origin, { dispatcher }).catch((e: unknown) => e)
    await arrival
    source.use(source.getX509Svid(), b.bundle('b.test'))
    expect(codeOf(await pending)).toBe('ERR_BUNDLE_NOT_FOUND')
  })

  test('without a valid SVID requests fail with the reason, and work again later', async () => {
    const { origin } = await start()
    const { dispatcher, source } = await newDispatcher()
    const valid = source.getX509Svid()
    source.use(new InvalidMaterialError('ERR_SVID_WITHDRAWN', 'withdrawn'))
    expect(codeOf(await request(origin, { dispatcher }).catch((e: unknown) => e))).toBe('ERR_SVID_WITHDRAWN')
    source.use(valid)
    expect(await read(request(origin, { dispatcher }))).toBe(valid.serialNumber)
  })
})

describe('the end of a dispatcher', () => {
  test('close waits for requests, old ones included, and lets go of the source', async () => {
    const arrived = new EventEmitter()
    const { origin } = await start((_req, res) => arrived.emit('request', () => res.end('done')))
    const { dispatcher, source } = await newDispatcher()
    const answers: (() => void)[] = []
    const pending = []
    for (let i = 0; i < 2; i++) {
      const arrival = once(arrived, 'request') as Promise<[() => void]>
      pending.push(read(request(origin, { dispatcher })))
      answers.push((await arrival)[0])
      source.use(await a.svid(clientId))
    }
    let closed = false
    const closing = dispatcher.close().then(() => (closed = true))
    expect(source.listeners).toBe(1)
    answers[1]?.()
    await pending[1]
    expect(closed).toBe(false)
    answers[0]?.()
    expect(await pending[0]).toBe('done')
    await closing
    await expect.poll(() => source.listeners).toBe(0)
    expect(codeOf(await request(origin, { dispatcher }).catch((e: unknown) => e))).toMatch(/UND_ERR_(CLOSED|DESTROYED)/)
  })

  test('destroy ends requests, old ones included', async () => {
    const arrived = new EventEmitter()
    const { origin } = await start(() => arrived.emit('request'))
    const { dispatcher, source } = await newDispatcher()
    const arrival = once(arrived, 'request')
    const pending = request(origin, { dispatcher }).catch((e: unknown) => e)
    await arrival
    source.use(await a.svid(clientId))
    await dispatcher.destroy(new Error('over'))
    expect(await pending).toMatchObject({ message: 'over' })
  })
})
