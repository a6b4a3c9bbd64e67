import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { writeFile } from 'node:fs/promises'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { SpiffeError } from '../../src/errors/index.js'
import { X509Source, type X509SourceOptions } from '../../src/source/index.js'
import type { X509Context, X509Svid } from '../../src/svid/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import {
  denied,
  Issuer,
  messageOf,
  refuse,
  ScriptedAgent,
  startRawServer,
  unusedPort,
  type Script,
  type StreamCall,
  type StreamScript,
} from '../workload-api/scripted-agent.js'

let issuer: Issuer
let good: X509Svid
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  issuer = await Issuer.create()
  good = await issuer.issue()
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startAgent(FetchX509SVID: StreamScript, more: Script = {}): Promise<ScriptedAgent> {
  const agent = await ScriptedAgent.start({ FetchX509SVID, ...more })
  cleanups.push(() => agent.close())
  return agent
}

async function open(options: X509SourceOptions): Promise<X509Source> {
  const source = await X509Source.open({ initialTimeoutMs: 10_000, ...options })
  cleanups.push(() => source.close())
  return source
}

type EventName = 'update' | 'withdrawn' | 'discarded' | 'retry' | 'stopped' | 'warning'
const next = (source: X509Source, name: EventName) =>
  new Promise<unknown>((resolve) => source.once(name, (value: unknown) => resolve(value)))

const sends =
  (...messages: Buffer[]): StreamScript =>
  (call) => {
    for (const message of messages) call.write(message)
  }

test('open() resolves with the first update, and each message replaces one frozen context', async () => {
  const second = await issuer.issue()
  const agent = await startAgent(sends(issuer.message([good])))
  const source = await open({ endpoint: agent.endpoint })
  expect(source.getX509Svid().equals(good)).toBe(true)
  const before = source.context
  expect(Object.isFrozen(before)).toBe(true)
  const updates = source.updates()
  await updates.next()
  agent.send(issuer.message([second]))
  const { value } = await updates.next()
  expect(value?.defaultSvid.equals(second)).toBe(true)
  expect(source.context).toBe(value)
  expect(before.defaultSvid.equals(good)).toBe(true)
  expect(source.getX509Bundle(good.id.trustDomain)?.equals(issuer.authority.bundle())).toBe(true)
})

describe('open() rejects within its timeout, with code, endpoint and last status, when', () => {
  const timeoutMs = 400
  async function fails(endpoint: string): Promise<SpiffeError & { endpoint?: string; grpcStatus?: number }> {
    const started = performance.now()
    const error: unknown = await X509Source.open({ endpoint, initialTimeoutMs: timeoutMs }).catch((e: unknown) => e)
    expect(performance.now() - started).toBeLessThan(timeoutMs + 1_000)
    expect(error).toMatchObject({ endpoint })
    expect((error as Error).message).toContain(endpoint)
    return error as SpiffeError
  }

  test('there is no socket', async () => {
    const agent = await ScriptedAgent.prepare()
    cleanups.push(() => agent.close())
    const error = await fails(agent.endpoint)
    expect(error.code).toBe('ERR_WORKLOAD_API_UNAVAILABLE')
    expect(error.grpcStatus).toBeUndefined()
    expect(error.message).toContain('ENOENT')
  })

  test('the path is a plain file', async () => {
    const agent = await ScriptedAgent.prepare()
    cleanups.push(() => agent.close())
    await writeFile(agent.path, '')
    expect((await fails(agent.endpoint)).code).toBe('ERR_WORKLOAD_API_UNAVAILABLE')
  })

  test('nobody listens on the port', async () => {
    const error = await fails(`tcp://127.0.0.1:${await unusedPort()}`)
    expect(error.code).toBe('ERR_WORKLOAD_API_UNAVAILABLE')
    expect(error.message).toContain('ECONNREFUSED')
  })

  for (const [reason, script, code, grpcStatus] of [
    ['the agent denies', (call) => refuse(call, denied), 'ERR_WORKLOAD_API_DENIED', 7],
    [
      'the agent is not ready',
      (call) => refuse(call, { code: status.UNAVAILABLE, details: 'starting' }),
      'ERR_WORKLOAD_API_UNAVAILABLE',
      14,
    ],
    ['the agent sends rubbish', sends(Buffer.from('rubbish')), 'ERR_WORKLOAD_API_RESPONSE_INVALID', 0],
    ['the agent sends an empty message', sends(Buffer.alloc(0)), 'ERR_WORKLOAD_API_RESPONSE_INVALID', 0],
    ['the agent closes without a message', (call) => call.end(), 'ERR_WORKLOAD_API_STREAM_ENDED', 0],
    ['the agent never answers', () => undefined, 'ERR_TIMEOUT', undefined],
    [
      'the agent refuses the request',
      (call) => refuse(call, { code: status.INVALID_ARGUMENT, details: 'no' }),
      'ERR_WORKLOAD_API_REFUSED',
      3,
    ],
  ] satisfies [string, StreamScript, string, number | undefined][])
    test(reason, async () => {
      const agent = await startAgent(script)
      const error = await fails(agent.endpoint)
      expect(error.code).toBe(code)
      expect(error.grpcStatus).toBe(grpcStatus)
    })

  test('the endpoint has no Workload API', async () => {
    const agent = await ScriptedAgent.start({ FetchX509Bundles: () => undefined })
    cleanups.push(() => agent.close())
    expect(await fails(agent.endpoint)).toMatchObject({ code: 'ERR_WORKLOAD_API_UNIMPLEMENTED', grpcStatus: 12 })
  })

  for (const [what, bytes] of [
    ['accepts and stays silent', undefined],
    ['speaks HTTP/1', Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')],
    ['sends rubbish instead of HTTP/2', Buffer.alloc(64, 0xff)],
  ] as const)
    test(`what listens ${what}`, async () => {
      const server = await startRawServer(bytes)
      cleanups.push(server.close)
      expect((await fails(server.endpoint)).code).toMatch(/^ERR_(TIMEOUT|WORKLOAD_API_UNAVAILABLE)$/)
    })
})

test('waits grow from one failure to the next also where agents fail in turns in different ways', async () => {
  const faults = [{ code: status.UNAVAILABLE, details: 'starting' }, denied]
  const agent = await startAgent((call, nth) => refuse(call, faults[nth % 2]!))
  const failures: { kind: string; attempt: number; waitedMs: number }[] = []
  const backoff: X509SourceOptions['backoff'] = (failure) => {
    failures.push(failure)
    return 1
  }
  const source = X509Source.start({ endpoint: agent.endpoint, backoff })
  cleanups.push(() => source.close())
  await expect.poll(() => failures.length).toBeGreaterThanOrEqual(6)
  const attempts = (kind: string) => failures.filter((failure) => failure.kind === kind).map(({ attempt }) => attempt)
  expect(attempts('transient').slice(0, 3)).toEqual([0, 1, 2])
  expect(attempts('denied').slice(0, 3)).toEqual([0, 1, 2])
})

test('open() refuses an endpoint of the wrong form, and options that contradict each other', async () => {
  await expect(X509Source.open({ endpoint: '/run/agent.sock' })).rejects.toMatchObject({ code: 'ERR_ENDPOINT_INVALID' })
  const invalid = { code: 'ERR_INVALID_ARGUMENT' }
  const misspelt = { endpoint: 'unix:///a', onDenied: 'Keep' } as unknown as X509SourceOptions
  await expect(X509Source.open(misspelt)).rejects.toMatchObject(invalid)
  await expect(X509Source.open({ endpoint: 'unix:///a', initialTimeoutMs: -1 })).rejects.toMatchObject(invalid)
  await using client = new WorkloadApiClient({ endpoint: 'unix:///a' })
  await expect(X509Source.open({ endpoint: 'unix:///a', client })).rejects.toMatchObject(invalid)
  await expect(X509Source.open({ dialect: 'icp', client })).rejects.toMatchObject(invalid)
})

test('the signal ends open() with its own reason, and no stream stays behind', async () => {
  const agent = await startAgent(() => undefined)
  const controller = new AbortController()
  const opening = X509Source.open({ endpoint: agent.endpoint, signal: controller.signal })
  await expect.poll(() => agent.streams.size).toBe(1)
  const reason = new Error('enough')
  controller.abort(reason)
  await expect(opening).rejects.toBe(reason)
  await expect.poll(() => agent.streams.size).toBe(0)
  await expect(X509Source.open({ endpoint: agent.endpoint, signal: controller.signal })).rejects.toBe(reason)
})

test('a workload without an identity is asked for until it has one', async () => {
  const agent = await startAgent((call, nth) => {
    if (nth < 3) refuse(call, denied)
    else call.write(issuer.message([good]))
  })
  const source = await open({ endpoint: agent.endpoint })
  expect(source.getX509Svid().equals(good)).toBe(true)
  expect(agent.count('FetchX509SVID')).toBe(4)
})

test('a denial in mid-life withdraws the SVID at once, and the next message restores it', async () => {
  const agent = await startAgent((call, nth) => {
    if (nth !== 1) call.write(issuer.message([good]))
    else refuse(call, denied)
  })
  const source = await open({ endpoint: agent.endpoint, backoff: () => 20 })
  let calls = 0
  const leave = source.onUpdate(() => calls++)
  const withdrawn = next(source, 'withdrawn')
  const updated = next(source, 'update')
  for (const call of agent.streams) call.end()
  expect(await withdrawn).toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 })
  expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN', grpcStatus: 7 }))
  expect(() => source.context).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))
  expect(source.status()).toMatchObject({ state: 'withdrawn', svid: undefined })
  // The very same SVID: what was withdrawn is news again.
  await updated
  expect(source.getX509Svid().equals(good)).toBe(true)
  expect(calls).toBe(2)
  leave()
})

test('a denial keeps the SVID when the option says so', async () => {
  const agent = await startAgent((call, nth) => (nth === 0 ? call.write(issuer.message([good])) : refuse(call, denied)))
  const source = await open({ endpoint: agent.endpoint, onDenied: 'keep' })
  for (const call of agent.streams) call.end()
  await expect.poll(() => agent.count('FetchX509SVID')).toBeGreaterThan(2)
  expect(source.getX509Svid().equals(good)).toBe(true)
})

for (const [what, end] of [
  ['is unavailable', (call) => refuse(call, { code: status.UNAVAILABLE, details: 'overloaded' })],
  ['fails inside', (call) => refuse(call, { code: status.INTERNAL, details: 'bug' })],
  ['ends the stream', (call) => call.end()],
] satisfies [string, (call: StreamCall) => void][])
  test(`the SVID stays while the agent ${what}, and the next update arrives`, async () => {
    const second = await issuer.issue()
    const agent = await startAgent((call, nth) => call.write(issuer.message([nth === 0 ? good : second])))
    const source = await open({ endpoint: agent.endpoint })
    const retry = next(source, 'retry')
    const update = next(source, 'update')
    for (const call of agent.streams) end(call)
    await retry
    expect(source.getX509Svid().equals(good)).toBe(true)
    expect(source.status().state).toBe('reconnecting')
    await update
    expect(source.getX509Svid().equals(second)).toBe(true)
    expect(source.status()).toMatchObject({ state: 'ready', failures: 0, lastError: undefined })
  })

test('a stream that is ended is opened again at once; one that ends at once again has to wait', async () => {
  const delays: number[] = []
  const agent = await startAgent((call) => {
    call.write(issuer.message([good]))
    call.end()
  })
  const source = await open({ endpoint: agent.endpoint })
  source.on('retry', ({ delayMs }) => delays.push(delayMs))
  await expect.poll(() => delays.length).toBeGreaterThan(3)
  // Counted with the one that may have come before the listener.
  expect(delays.filter((ms) => ms === 0).length).toBeLessThanOrEqual(1)
  expect(Math.max(...delays)).toBeGreaterThanOrEqual(100)
})

for (const [what, code, expected] of [
  ['INVALID_ARGUMENT', status.INVALID_ARGUMENT, 'ERR_WORKLOAD_API_REFUSED'],
  ['UNIMPLEMENTED', status.UNIMPLEMENTED, 'ERR_WORKLOAD_API_UNIMPLEMENTED'],
] as const)
  test(`${what} in mid-life stops the source for good, and the SVID stays until it expires`, async () => {
    const agent = await startAgent((call, nth) =>
      nth === 0 ? call.write(issuer.message([good])) : refuse(call, { code, details: 'no' }),
    )
    const source = await open({ endpoint: agent.endpoint })
    const updates = source.updates()
    await updates.next()
    const stopped = next(source, 'stopped')
    for (const call of agent.streams) call.end()
    expect(await stopped).toMatchObject({ code: expected })
    await expect(updates.next()).rejects.toMatchObject({ code: expected })
    expect(source.status().state).toBe('stopped')
    expect(source.getX509Svid().equals(good)).toBe(true)
    expect(agent.count('FetchX509SVID')).toBe(2)
  })

test('a bad message is discarded whole and reported, the stream goes on, and a good one after it is used', async () => {
  const second = await issuer.issue()
  const agent = await startAgent(sends(issuer.message([good])))
  const source = await open({ endpoint: agent.endpoint })
  let discarded = next(source, 'discarded')
  agent.send(messageOf([issuer.entry(second), { ...issuer.entry(second), x509_svid_key: new Uint8Array(0) }]))
  expect(await discarded).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
  discarded = next(source, 'discarded')
  agent.send(Buffer.from('rubbish'))
  await discarded
  expect(source.getX509Svid().equals(good)).toBe(true)
  const update = next(source, 'update')
  agent.send(issuer.message([second]))
  await update
  expect(source.getX509Svid().equals(second)).toBe(true)
  expect(source.status().messages).toEqual({ updates: 2, unchanged: 0, discarded: 2 })
  expect(agent.count('FetchX509SVID')).toBe(1)
})

test('an equal message wakes nobody', async () => {
  const second = await issuer.issue()
  const agent = await startAgent(sends(issuer.message([good])))
  const source = await open({ endpoint: agent.endpoint })
  const contexts: X509Context[] = []
  source.on('update', (context) => contexts.push(context))
  let calls = 0
  source.onUpdate(() => calls++)
  agent.send(issuer.message([good]))
  agent.send(issuer.message([second]))
  await expect.poll(() => source.status().messages).toEqual({ updates: 2, unchanged: 1, discarded: 0 })
  expect(contexts).toHaveLength(1)
  expect(calls).toBe(1)
})

test('an agent that delivers an expired SVID is not believed', async () => {
  const short = await issuer.issue('/web', 60_000)
  let nowMs = Date.now()
  const agent = await startAgent(sends(issuer.message([short])))
  const source = await open({ endpoint: agent.endpoint, now: () => new Date(nowMs) })
  nowMs += 120_000
  const discarded = next(source, 'discarded')
  agent.send(issuer.message([short]))
  expect(await discarded).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
  expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }))
})

test('an SVID that was not renewed in time gets a fresh stream, on a fresh connection', async () => {
  // Most of its lifetime is gone when it comes.
  const old = await issuer.issue('/web', 3_000)
  const agent = await startAgent((call, nth) => call.write(issuer.message([nth === 0 ? old : good])))
  const source = await open({ endpoint: agent.endpoint })
  await next(source, 'update')
  expect(source.getX509Svid().equals(good)).toBe(true)
  expect(agent.count('FetchX509SVID')).toBe(2)
})

describe('of several SVIDs', () => {
  let internal: X509Svid
  let external: X509Svid
  let both: Buffer
  beforeAll(async () => {
    internal = await issuer.issue('/internal')
    external = await issuer.issue('/external')
    both = messageOf([issuer.entry(internal, { hint: 'in' }), issuer.entry(external, { hint: 'out' })])
  })

  for (const [how, options, path] of [
    ['the first is used', {}, '/internal'],
    ['pickSvid takes one by hint', { pickSvid: { hint: 'out' } }, '/external'],
    ['pickSvid takes one by SPIFFE ID', { pickSvid: { spiffeId: 'spiffe://example.org/external' } }, '/external'],
    ['pickSvid takes one by function', { pickSvid: (svids) => svids.at(-1) }, '/external'],
    ['expectedSpiffeId takes its own', { expectedSpiffeId: 'spiffe://example.org/external' }, '/external'],
  ] satisfies [string, X509SourceOptions, string][])
    test(how, async () => {
      const agent = await startAgent(sends(both))
      const source = await open({ endpoint: agent.endpoint, ...options })
      expect(source.getX509Svid().id.path).toBe(path)
      expect(source.context.svids).toHaveLength(2)
    })

  for (const [what, options, code] of [
    ['a hint that none has', { pickSvid: { hint: 'none' } }, 'ERR_SVID_NOT_FOUND'],
    ['a function that finds none', { pickSvid: () => undefined }, 'ERR_SVID_NOT_FOUND'],
    ['an expected ID that was not issued', { expectedSpiffeId: 'spiffe://example.org/x' }, 'ERR_SPIFFE_ID_UNEXPECTED'],
    [
      'a picked ID that is not the expected one',
      { pickSvid: { hint: 'out' }, expectedSpiffeId: 'spiffe://example.org/internal' },
      'ERR_SPIFFE_ID_UNEXPECTED',
    ],
  ] satisfies [string, X509SourceOptions, string][])
    test(`${what} never falls back to another`, async () => {
      const agent = await startAgent(sends(both))
      const opening = X509Source.open({ endpoint: agent.endpoint, initialTimeoutMs: 800, ...options })
      await expect(opening).rejects.toMatchObject({ code, endpoint: agent.endpoint })
    })

  test('a message without it brings its own bundles all the same: whom it does not name is trusted no more', async () => {
    const foreign = await Issuer.create('other.test')
    const other = foreign.authority.bundle().trustDomain
    const federated = { 'spiffe://other.test': foreign.bundleDer }
    const wanted = issuer.entry(internal, { hint: 'in' })
    const agent = await startAgent(sends(messageOf([wanted], federated)))
    const source = await open({ endpoint: agent.endpoint, pickSvid: { hint: 'in' } })
    let told = 0
    source.onUpdate(() => told++)
    expect(source.getX509Bundle(other)).toBeDefined()
    const withdrawn = next(source, 'withdrawn')
    agent.send(messageOf([issuer.entry(internal, { hint: 'else' })], federated))
    await withdrawn
    expect(source.getX509Bundle(other)).toBeDefined()
    const before = told
    agent.send(messageOf([issuer.entry(internal, { hint: 'else' })]))
    await expect.poll(() => source.getX509Bundle(other)).toBeUndefined()
    expect(told).toBeGreaterThan(before)
    expect(source.getX509Bundle(issuer.authority.bundle().trustDomain)).toBeDefined()
    expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))
  })

  test('the one in use is withdrawn when a message comes without it', async () => {
    const agent = await startAgent(sends(both))
    const source = await open({ endpoint: agent.endpoint, pickSvid: { hint: 'out' } })
    const withdrawn = next(source, 'withdrawn')
    agent.send(messageOf([issuer.entry(internal, { hint: 'in' })]))
    expect(await withdrawn).toMatchObject({ code: 'ERR_SVID_NOT_FOUND' })
    expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))
  })
})

describe('close()', () => {
  const states: [string, StreamScript, (agent: ScriptedAgent) => Promise<void>][] = [
    ['while the stream stands', sends(), () => Promise.resolve()],
    ['while the agent is away', sends(), (agent) => agent.die()],
  ]
  for (const [when, , change] of states)
    test(`${when} ends everything within a second, twice as well`, async () => {
      const agent = await startAgent(sends(issuer.message([good])))
      const source = await X509Source.open({ endpoint: agent.endpoint })
      const updates = source.updates()
      await updates.next()
      const waiting = updates.next()
      await change(agent)
      const started = performance.now()
      await Promise.all([source.close(), source.close()])
      expect(await waiting).toEqual({ done: true, value: undefined })
      await expect.poll(() => agent.streams.size).toBe(0)
      expect(performance.now() - started).toBeLessThan(1_000)
      for (const use of [
        () => source.getX509Svid(),
        () => source.context,
        () => source.getX509Bundle(good.id.trustDomain),
      ])
        expect(use).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }))
    })

  test('does not close a client that was lent', async () => {
    const agent = await startAgent(sends(issuer.message([good])))
    await using client = new WorkloadApiClient({ endpoint: agent.endpoint })
    const [one, two] = [await X509Source.open({ client }), await X509Source.open({ client })]
    await one.close()
    expect(two.getX509Svid().equals(good)).toBe(true)
    expect((await client.fetchX509Context()).defaultSvid.equals(good)).toBe(true)
    await two.close()
  })
})

test('a listener that throws neither stops the source nor keeps the others from being called', async () => {
  const second = await issuer.issue()
  const agent = await startAgent(sends(issuer.message([good])))
  const source = await open({ endpoint: agent.endpoint })
  const uncaught: unknown[] = []
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => uncaught.push(error))
  const fault = new Error('mine')
  let called = false
  source.onUpdate(() => {
    throw fault
  })
  source.onUpdate(() => (called = true))
  agent.send(issuer.message([second]))
  await expect.poll(() => called).toBe(true)
  await expect.poll(() => uncaught).toEqual([fault])
  process.removeAllListeners('uncaughtException')
  for (const listener of listeners) process.on('uncaughtException', listener)
  expect(source.getX509Svid().equals(second)).toBe(true)
})

test('outside observers see updates on a diagnostics channel', async () => {
  const seen: unknown[] = []
  const observe = (message: unknown) => seen.push(message)
  subscribe('spiffe:source:update', observe)
  cleanups.push(() => Promise.resolve(unsubscribe('spiffe:source:update', observe)))
  const agent = await startAgent(sends(issuer.message([good])))
  const source = await open({ endpoint: agent.endpoint })
  expect(seen).toEqual([{ endpoint: agent.endpoint, update: source.context }])
})

test('status() is plain data and shows no key', async () => {
  const agent = await startAgent(sends(issuer.message([good])))
  const nowMs = Date.now()
  const source = await open({ endpoint: agent.endpoint, now: () => new Date(nowMs) })
  const status = source.status()
  expect(status).toEqual({
    state: 'ready',
    endpoint: agent.endpoint,
    dialect: 'spiffe',
    lastError: undefined,
    failures: 0,
    svid: {
      spiffeId: 'spiffe://example.org/web',
      serialNumber: good.serialNumber,
      expiresAt: good.expiresAt,
      ageMs: 0,
      remainingMs: good.expiresAt.getTime() - nowMs,
    },
    messages: { updates: 1, unchanged: 0, discarded: 0 },
  })
  expect(JSON.stringify(status)).not.toMatch(/PRIVATE|MII/)
})
