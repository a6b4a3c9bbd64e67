import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { JwtSource, type JwtSourceOptions } from '../../src/source/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import {
  denied,
  encode,
  refuse,
  Refusal,
  ScriptedAgent,
  type Script,
  type UnaryScript,
} from '../workload-api/scripted-agent.js'

const start = new Date('2030-01-01T00:00:00Z')
const td = new TestTrustDomain('example.org', { now: start })
const partner = new TestTrustDomain('partner.example', { now: start })
const web = 'spiffe://example.org/w'
const lifeMs = 300_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A clock that stands until a test moves it. */
class Clock {
  #ms = start.getTime()
  readonly now = () => new Date(this.#ms)
  advance(ms: number): void {
    this.#ms += ms
  }
  get seconds(): number {
    return this.#ms / 1000
  }
}

const jwks = (domain: TestTrustDomain) => Buffer.from(JSON.stringify(domain.jwtBundle()))
const bundlesMessage = (...domains: TestTrustDomain[]) =>
  encode('JWTBundlesResponse', {
    bundles: Object.fromEntries(domains.map((domain) => [domain.trustDomain.idString, jwks(domain)])),
  })

interface Asked {
  audience: string[]
  spiffeId: string
}

/** Issues what is asked for, five minutes from the time of the clock; each token is another one. */
function issues(clock: Clock, asked: Asked[] = []): UnaryScript {
  return (request, nth) => {
    const { audience, spiffeId = '' } = request as unknown as Partial<Asked> & Pick<Asked, 'audience'>
    asked.push({ audience, spiffeId })
    const sub = spiffeId || web
    const exp = clock.seconds + lifeMs / 1000
    return encode('JWTSVIDResponse', {
      svids: [{ spiffeId: sub, svid: td.token({ claims: { sub, aud: audience, exp, jti: String(nth) } }) }],
    })
  }
}

const sendsBundles: Script = { FetchJWTBundles: (call) => void call.write(bundlesMessage(td)) }

async function startAgent(script: Script): Promise<ScriptedAgent> {
  const identifies: Script = { FetchX509SVID: (call) => refuse(call, denied) }
  const agent = await ScriptedAgent.start({ ...identifies, ...script })
  cleanups.push(() => agent.close())
  return agent
}

async function open(script: Script, options: JwtSourceOptions = {}) {
  const clock = new Clock()
  const agent = await startAgent({ ...sendsBundles, ...script })
  const source = await JwtSource.open({ endpoint: agent.endpoint, initialTimeoutMs: 5_000, now: clock.now, ...options })
  cleanups.push(() => source.close())
  return { agent, source, clock }
}

/** The same, with an agent that issues tokens. */
async function issuing(script: Script = {}, options: JwtSourceOptions = {}) {
  const clock = new Clock()
  const asked: Asked[] = []
  const opened = await open({ FetchJWTSVID: issues(clock, asked), ...script }, { now: clock.now, ...options })
  return { ...opened, clock, asked }
}

type EventName = 'update' | 'withdrawn' | 'discarded' | 'retry' | 'stopped' | 'warning'
const next = (source: JwtSource, name: EventName) =>
  new Promise<unknown>((resolve) => source.once(name, (value: unknown) => resolve(value)))

describe('JWT bundles', () => {
  test('open() resolves with the first ones, and each message replaces them whole', async () => {
    const { agent, source } = await open({})
    const updates = source.updates()
    const first = (await updates.next()).value
    expect(first).toBe(source.bundles)
    expect(source.getJwtBundle(td.trustDomain)?.equals(td.jwtBundle())).toBe(true)
    agent.send(bundlesMessage(partner))
    const second = (await updates.next()).value
    expect([...second!].map(({ trustDomain }) => trustDomain.name)).toEqual(['partner.example'])
    expect(source.getJwtBundle(td.trustDomain)).toBeUndefined()
    expect(first?.getJwtBundle(td.trustDomain)).toBeDefined()
  })

  test('equal ones wake nobody', async () => {
    const { agent, source } = await open({})
    let calls = 0
    source.onUpdate(() => calls++)
    const updated = next(source, 'update')
    agent.send(bundlesMessage(td))
    agent.send(bundlesMessage(td))
    agent.send(bundlesMessage(td, partner))
    await updated
    expect(calls).toBe(1)
    expect(source.status().messages).toEqual({ updates: 2, unchanged: 2, discarded: 0 })
  })

  test('a message that cannot be used is told, and changes nothing', async () => {
    const { agent, source } = await open({})
    const discarded = next(source, 'discarded')
    const before = source.bundles
    agent.send(encode('JWTBundlesResponse', { bundles: { 'spiffe://example.org': Buffer.from('{}') } }))
    expect(await discarded).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
    expect(source.bundles).toBe(before)
    agent.send(bundlesMessage(partner))
    await next(source, 'update')
    expect(source.status()).toMatchObject({ state: 'ready', lastError: undefined, messages: { discarded: 1 } })
  })

  test('an agent that is away takes nothing back', async () => {
    const { agent, source } = await open({}, { backoff: () => 10 })
    const retry = next(source, 'retry')
    await agent.die()
    await retry
    expect(source.status().state).toBe('reconnecting')
    await expect(source.validate(td.token(), 'a')).resolves.toMatchObject({ audience: ['a'] })
    await agent.listen({ ...sendsBundles, FetchX509SVID: (call) => refuse(call, denied) })
    await expect.poll(() => source.status().state).toBe('ready')
  })

  test('a denial withdraws them, and the next message gives them back', async () => {
    const { agent, source } = await open(
      { FetchJWTBundles: (call, nth) => (nth === 1 ? refuse(call, denied) : void call.write(bundlesMessage(td))) },
      { backoff: () => 10 },
    )
    let calls = 0
    source.onUpdate(() => calls++)
    const withdrawn = next(source, 'withdrawn')
    const updated = next(source, 'update')
    for (const call of agent.streams) call.end()
    expect(await withdrawn).toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
    expect(source.getJwtBundle(td.trustDomain)).toBeUndefined()
    await expect(source.validate(td.token(), 'a')).rejects.toMatchObject({ code: 'ERR_SVID_WITHDRAWN' })
    await updated
    await expect(source.validate(td.token(), 'a')).resolves.toBeDefined()
    expect(calls).toBe(2)
  })

  test('a denial keeps them when that is what the option says', async () => {
    const { agent, source } = await open(
      { FetchJWTBundles: (call, nth) => (nth > 0 ? refuse(call, denied) : void call.write(bundlesMessage(td))) },
      { backoff: () => 10, onDenied: 'keep' },
    )
    for (const call of agent.streams) call.end()
    await expect.poll(() => agent.count('FetchJWTBundles')).toBeGreaterThan(2)
    expect(source.getJwtBundle(td.trustDomain)).toBeDefined()
  })

  for (const [reason, code, answer] of [
    ['the agent denies', 'ERR_WORKLOAD_API_DENIED', denied],
    ['the agent refuses for good', 'ERR_WORKLOAD_API_REFUSED', { code: status.INVALID_ARGUMENT, details: 'no' }],
    ['the agent is not ready', 'ERR_WORKLOAD_API_UNAVAILABLE', { code: status.UNAVAILABLE, details: 'starting' }],
  ] as const)
    test(`open() rejects when ${reason}`, async () => {
      const agent = await startAgent({ FetchJWTBundles: (call) => refuse(call, answer) })
      const opening = JwtSource.open({ endpoint: agent.endpoint, initialTimeoutMs: 200, backoff: () => 10 })
      await expect(opening).rejects.toMatchObject({ code, endpoint: agent.endpoint })
    })

  test('open() rejects with the reason of its signal, and with a bad option', async () => {
    const agent = await startAgent({ FetchJWTBundles: () => undefined })
    const { endpoint } = agent
    const controller = new AbortController()
    const opening = JwtSource.open({ endpoint, signal: controller.signal })
    await expect.poll(() => agent.count('FetchJWTBundles')).toBe(1)
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(opening).rejects.toBe(reason)
    await expect(JwtSource.open({ endpoint, signal: controller.signal })).rejects.toBe(reason)
    for (const options of [{ initialTimeoutMs: -1 }, { maxCachedSvids: 1.5 }])
      await expect(JwtSource.open({ endpoint, ...options })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
})

describe('validate()', () => {
  test('proves with the bundle of the subject, by the clock and the skew of the source', async () => {
    const { source, clock } = await open({}, { clockSkewMs: 0 })
    expect((await source.validate(td.token(), ['x', 'a'])).id.toString()).toBe(web)
    await expect(source.validate(td.token(), 'b')).rejects.toMatchObject({ code: 'ERR_JWT_SVID_AUDIENCE' })
    await expect(source.validate(partner.token(), 'a')).rejects.toMatchObject({ code: 'ERR_BUNDLE_NOT_FOUND' })
    clock.advance(lifeMs)
    await expect(source.validate(td.token(), 'a')).rejects.toMatchObject({ code: 'ERR_JWT_SVID_EXPIRED' })
  })

  test('waits for the first bundles of a source that was only started', async () => {
    let send: () => void = () => undefined
    const agent = await startAgent({ FetchJWTBundles: (call) => (send = () => void call.write(bundlesMessage(td))) })
    const source = JwtSource.start({ endpoint: agent.endpoint, now: () => start })
    cleanups.push(() => source.close())
    expect(() => source.bundles).toThrow(expect.objectContaining({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' }) as Error)
    const proving = source.validate(td.token(), 'a')
    await expect.poll(() => agent.count('FetchJWTBundles')).toBe(1)
    send()
    expect((await proving).id.toString()).toBe(web)
  })

  test('says why there are no bundles', async () => {
    const agent = await startAgent({ FetchJWTBundles: (call) => refuse(call, denied) })
    const source = JwtSource.start({ endpoint: agent.endpoint, initialTimeoutMs: 100, backoff: () => 10 })
    cleanups.push(() => source.close())
    await expect(source.validate(td.token(), 'a')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    await expect(source.validate(td.token(), 'a', { signal })).rejects.toBe(reason)
  })
})

describe('getJwtSvid()', () => {
  test('gives the one that is kept for the same subject and set of audiences', async () => {
    const { source, asked } = await issuing()
    const first = await source.getJwtSvid(['a', 'b'])
    expect(first.audience).toEqual(['a', 'b'])
    expect(await source.getJwtSvid(['b', 'a', 'b'])).toBe(first)
    const others = [
      await source.getJwtSvid('a'),
      await source.getJwtSvid(['a', 'b'], { spiffeId: `${web}2` }),
      await source.getJwtSvid('a,b'),
    ]
    expect(new Set([first, ...others]).size).toBe(4)
    expect(asked).toEqual([
      { audience: ['a', 'b'], spiffeId: '' },
      { audience: ['a'], spiffeId: '' },
      { audience: ['a', 'b'], spiffeId: `${web}2` },
      { audience: ['a,b'], spiffeId: '' },
    ])
    expect(source.status().cachedSvids).toBe(4)
  })

  test('has it renewed at half of its life, and gives out the old one meanwhile', async () => {
    const { source, clock, asked } = await issuing()
    const first = await source.getJwtSvid('a')
    clock.advance(lifeMs / 2 - 1)
    expect(await source.getJwtSvid('a')).toBe(first)
    expect(asked).toHaveLength(1)
    clock.advance(1)
    expect(await source.getJwtSvid('a')).toBe(first)
    expect(await source.getJwtSvid('a')).toBe(first)
    await expect.poll(async () => (await source.getJwtSvid('a')) !== first).toBe(true)
    expect(asked).toHaveLength(2)
    expect((await source.getJwtSvid('a')).expiresAt.getTime()).toBe(first.expiresAt.getTime() + lifeMs / 2)
  })

  test('waits for a new one when the old one has only seconds left', async () => {
    const { source, clock } = await issuing()
    const first = await source.getJwtSvid('a')
    clock.advance(lifeMs - 4_000)
    expect(await source.getJwtSvid('a')).not.toBe(first)
  })

  test('keeps the old one while the agent is away, asks now and then, and gives up at its expiry', async () => {
    const { agent, source, clock } = await issuing()
    const first = await source.getJwtSvid('a')
    await agent.die()
    clock.advance(lifeMs / 2)
    const warned = next(source, 'warning')
    expect(await source.getJwtSvid('a')).toBe(first)
    expect(await warned).toContain('"a"')
    let warnings = 0
    source.on('warning', () => warnings++)
    expect(await source.getJwtSvid('a')).toBe(first)
    clock.advance(lifeMs / 2 - 2_000)
    expect(await source.getJwtSvid('a')).toBe(first)
    expect(warnings).toBe(0)
    clock.advance(2_000)
    await expect(source.getJwtSvid('a')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
  })

  test('gives up what the agent denies', async () => {
    const clock = new Clock()
    const issue = issues(clock)
    const { source } = await open(
      {
        FetchJWTSVID: (request, nth, call) =>
          nth === 0 ? issue(request, nth, call) : new Refusal(status.PERMISSION_DENIED, 'no identity issued'),
      },
      { now: clock.now },
    )
    const first = await source.getJwtSvid('a')
    clock.advance(lifeMs / 2)
    const warned = next(source, 'warning')
    expect(await source.getJwtSvid('a')).toBe(first)
    await warned
    await expect(source.getJwtSvid('a')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
    expect(source.status().cachedSvids).toBe(0)
  })

  test('gives up what a key signed that is gone from the bundles, and nothing for a key that came', async () => {
    const { agent, source, asked } = await issuing()
    await source.getJwtSvid('a')
    let updated = next(source, 'update')
    agent.send(bundlesMessage(td, partner))
    await updated
    await source.getJwtSvid('a')
    expect(asked).toHaveLength(1)
    updated = next(source, 'update')
    agent.send(bundlesMessage(partner))
    await updated
    await source.getJwtSvid('a')
    expect(asked).toHaveLength(2)
  })

  test('keeps no more than it may, and drops what was not used for longest', async () => {
    const { source, asked } = await issuing({}, { maxCachedSvids: 2 })
    for (const audience of ['a', 'b', 'a', 'c', 'a', 'b']) await source.getJwtSvid(audience)
    expect(asked.map(({ audience }) => audience[0])).toEqual(['a', 'b', 'c', 'b'])
    expect(source.status().cachedSvids).toBe(2)
  })

  test('joins callers into one call, which one who leaves does not break', async () => {
    const { agent, source } = await issuing()
    const controller = new AbortController()
    const leaver = source.getJwtSvid('a', { signal: controller.signal })
    const stayers = [source.getJwtSvid('a'), source.getJwtSvid('a')]
    const reason = new Error('no more patience')
    controller.abort(reason)
    await expect(leaver).rejects.toBe(reason)
    const [one, two] = await Promise.all(stayers)
    expect(one).toBe(two)
    expect(agent.count('FetchJWTSVID')).toBe(1)
    await expect(source.getJwtSvid('a', { signal: controller.signal })).rejects.toBe(reason)
  })

  for (const [what, audience, spiffeId, code] of [
    ['no audience', [], undefined, 'ERR_INVALID_ARGUMENT'],
    ['an empty audience', ['a', ''], undefined, 'ERR_INVALID_ARGUMENT'],
    ['a SPIFFE ID that is none', 'a', 'foo', 'ERR_SPIFFE_ID_INVALID'],
  ] as const)
    test(`refuses ${what}`, async () => {
      const { source, asked } = await issuing()
      await expect(source.getJwtSvid(audience, { spiffeId })).rejects.toMatchObject({ code })
      expect(asked).toEqual([])
    })
})

describe('close()', () => {
  test('ends calls and iterations, and later use says so', async () => {
    const { agent, source } = await open({})
    const updates = source.updates()
    await updates.next()
    const waiting = updates.next()
    await source.close()
    await source.close()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(source.status().state).toBe('closed')
    const closed = { name: 'ClosedError', code: 'ERR_CLOSED' }
    await expect(source.getJwtSvid('a')).rejects.toMatchObject(closed)
    await expect(source.validate(td.token(), 'a')).rejects.toMatchObject(closed)
    expect(() => source.getJwtBundle(td.trustDomain)).toThrow(expect.objectContaining(closed) as Error)
    await expect.poll(() => agent.streams.size).toBe(0)
  })

  test('ends a call that is under way', async () => {
    const { source } = await issuing()
    const asking = expect(source.getJwtSvid('a')).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await source.close()
    await asking
  })

  test('leaves a client open that was lent', async () => {
    const agent = await startAgent(sendsBundles)
    await using client = new WorkloadApiClient({ endpoint: agent.endpoint })
    const source = await JwtSource.open({ client })
    await source.close()
    expect((await client.fetchJwtBundles()).getJwtBundle(TrustDomain.parse('example.org'))).toBeDefined()
    await expect(JwtSource.open({ client, endpoint: agent.endpoint })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  })
})

test('outside observers hear of updates on a channel of its own', async () => {
  const heard: unknown[] = []
  const listener = (message: unknown) => heard.push(message)
  subscribe('spiffe:jwt-source:update', listener)
  cleanups.push(() => Promise.resolve(unsubscribe('spiffe:jwt-source:update', listener)))
  const { agent, source } = await open({})
  expect(heard).toEqual([{ endpoint: agent.endpoint, update: source.bundles }])
})
