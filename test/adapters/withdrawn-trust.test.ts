import { EventEmitter, once } from 'node:events'
import * as grpc from '@grpc/grpc-js'
import { request as undiciRequest, type Dispatcher } from 'undici'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createGrpcChannelCredentials } from '../../src/adapters/grpc/index.js'
import { connectHttp2, createHttp2Server, SpiffeHttp2Client } from '../../src/adapters/http2/index.js'
import { SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import { authorizeAny, recheckPeers, type Authorize, type WithdrawnTrustOptions } from '../../src/tls/index.js'
import { listen, request } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa
let b: TestCa

beforeAll(async () => {
  a = await TestCa.create()
  b = await TestCa.create()
})

interface Called {
  /** What `recheckPeers` takes. */
  client: object
  /** Settles when the call ends, with the error if it ended badly. */
  outcome: Promise<unknown>
  /** Ends the client in good order, requests in progress first. */
  close?: () => unknown
}

type Call = (source: TestSource, options: WithdrawnTrustOptions & { authorize: Authorize }, port: number) => Called

const failure = (call: Promise<unknown>) =>
  call.then(
    () => 'answered',
    (error: unknown) => error,
  )

async function read(dispatcher: Dispatcher, port: number): Promise<string> {
  return (await undiciRequest(`https://127.0.0.1:${port}`, { dispatcher })).body.text()
}

const kinds: Record<string, Call> = {
  SpiffeHttpsAgent(source, options, port) {
    const client = new SpiffeHttpsAgent(source, options)
    onTestFinished(() => client.destroy())
    return { client, outcome: failure(request({ port, agent: client })) }
  },
  createDispatcher(source, options, port) {
    const client = createDispatcher(source, options)
    onTestFinished(() => client.destroy())
    const outcome = failure(read(client, port))
    return { client, outcome, close: () => client.close() }
  },
  'createDispatcher, HTTP/2'(source, options, port) {
    const client = createDispatcher(source, { ...options, agentOptions: { allowH2: true } })
    onTestFinished(() => client.destroy())
    const outcome = failure(read(client, port))
    return { client, outcome, close: () => client.close() }
  },
  SpiffeHttp2Client(source, options, port) {
    const client = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, options)
    onTestFinished(() => client.destroy())
    return { client, outcome: failure(once(client.request().resume(), 'end')), close: () => client.close() }
  },
  connectHttp2(source, options, port) {
    const client = connectHttp2(source, `https://127.0.0.1:${port}`, options)
    onTestFinished(() => client.destroy())
    client.on('error', () => undefined)
    return { client, outcome: failure(once(client.request().resume(), 'end')), close: () => client.close() }
  },
  createGrpcChannelCredentials(source, options, port) {
    const client = createGrpcChannelCredentials(source, options)
    const stub = new grpc.Client(`127.0.0.1:${port}`, client)
    onTestFinished(() => stub.close())
    const outcome = new Promise((resolve) => {
      const bytes = (value: Buffer) => value
      stub.makeUnaryRequest('/a/b', bytes, bytes, Buffer.of(), (error) => resolve(error ?? 'answered'))
    })
    return { client, outcome, close: () => stub.close() }
  },
}

/** A call that has reached its server, and gets an answer when the test says so. */
async function inProgress(kind: Call, options: WithdrawnTrustOptions = {}) {
  const serverSource = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  const handled = new EventEmitter()
  const server = createHttp2Server(serverSource, { authorize: authorizeAny(), allowHTTP1: true }, (req, res) => {
    handled.emit('request', () => {
      if (req.headers['content-type'] === 'application/grpc') res.writeHead(200, { 'grpc-status': '0' })
      res.end('in')
    })
  })
  const port = await listen(server)
  const arrival = once(handled, 'request') as Promise<[() => void]>
  const source = new TestSource(await a.svid('spiffe://a.test/client'), a.bundle('a.test'), b.bundle('b.test'))
  const allowed = new Set(['spiffe://a.test/server'])
  const called = kind(source, { authorize: (id) => allowed.has(id.toString()), ...options }, port)
  let settled = false
  void called.outcome.then(() => (settled = true))
  const [answer] = await arrival
  return {
    ...called,
    source,
    allowed,
    answer,
    settled: () => settled,
    withdraw: () => source.use(source.getX509Svid(), b.bundle('b.test')),
  }
}

const aTurn = () => new Promise((resolve) => setTimeout(resolve, 50))

describe.each(Object.entries(kinds))('%s', (_name, kind) => {
  test('ends a call in progress when the trust in its server is withdrawn', async () => {
    const { withdraw, outcome } = await inProgress(kind)
    withdraw()
    expect(await outcome).toBeInstanceOf(Error)
  })

  test('asks the authorizer anew at an update, and when recheckPeers is called', async () => {
    for (const how of ['update', 'recheckPeers'] as const) {
      const { client, source, allowed, outcome, settled } = await inProgress(kind)
      recheckPeers(client)
      await aTurn()
      expect(settled()).toBe(false)
      allowed.clear()
      if (how === 'update') source.use(source.getX509Svid())
      else recheckPeers(client)
      expect(await outcome).toBeInstanceOf(Error)
    }
  })

  test("lets the call live with onTrustWithdrawn: 'keep', until recheckPeers is called", async () => {
    const { client, withdraw, outcome, settled } = await inProgress(kind, { onTrustWithdrawn: 'keep' })
    withdraw()
    await aTurn()
    expect(settled()).toBe(false)
    recheckPeers(client)
    expect(await outcome).toBeInstanceOf(Error)
  })

  test('ends it also when the client is closing, and then lets go of the source', async () => {
    const { close, withdraw, source, outcome, settled } = await inProgress(kind)
    if (!close) return
    void close()
    await aTurn()
    if (!settled()) withdraw()
    expect(await outcome).toBeInstanceOf(Error)
    await expect.poll(() => source.listeners).toBe(0)
  })

  test('lets go of the source once it is closed and the last call has finished', async () => {
    const { close, source, answer, outcome } = await inProgress(kind)
    if (!close) return
    void close()
    answer()
    await outcome
    await expect.poll(() => source.listeners).toBe(0)
  })
})

test('recheckPeers refuses what it knows no peers of', () =>
  expect(() => recheckPeers({})).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' })))
