import { inspect } from 'node:util'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { JwtSource } from '../../src/source/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import { WorkloadApiClient, type WatchEvent, type WorkloadApiClientOptions } from '../../src/workload-api/index.js'
import {
  encode,
  Issuer,
  messageOf,
  refuse,
  Refusal,
  ScriptedAgent,
  startRawServer,
  type Script,
} from './scripted-agent.js'
import { makeToken } from './token.js'

let issuer: Issuer
let good: X509Svid
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  issuer = await Issuer.create()
  good = await issuer.issue()
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(script: Script, options: WorkloadApiClientOptions & { tcp?: boolean } = {}) {
  const { tcp, ...rest } = options
  const agent = await ScriptedAgent.start(script, { tcp: tcp === true })
  cleanups.push(() => agent.close())
  const client = new WorkloadApiClient({ endpoint: tcp ? agent.tcpEndpoint : agent.endpoint, ...rest })
  cleanups.push(() => client.close())
  return { agent, client }
}

const web = 'spiffe://example.org/web'
const x509: Script = { FetchX509SVID: (call) => call.write(issuer.message([good])) }
const bundles = { 'spiffe://example.org': () => issuer.bundleDer }
const jwtResponse = (...svids: object[]) => encode('JWTSVIDResponse', { svids })

const everything: Script = {
  ...x509,
  FetchX509Bundles: (call) =>
    call.write(
      encode('X509BundlesResponse', { bundles: { 'spiffe://example.org': bundles['spiffe://example.org']() } }),
    ),
  FetchJWTBundles: (call) =>
    call.write(
      encode('JWTBundlesResponse', { bundles: { 'spiffe://example.org': Buffer.from('{"keys":[{"kid":"a"}]}') } }),
    ),
  FetchJWTSVID: ({ audience }) =>
    jwtResponse({ spiffeId: web, svid: makeToken({ sub: web, aud: audience, exp: Date.now() / 1000 + 300 }) }),
  ValidateJWTSVID: () =>
    encode('ValidateJWTSVIDResponse', {
      spiffeId: web,
      claims: {
        fields: {
          sub: { stringValue: web },
          aud: { listValue: { values: [{ stringValue: 'a' }] } },
          exp: { numberValue: 4e9 },
          admin: { boolValue: true },
          nothing: { nullValue: 0 },
          nested: { structValue: { fields: { __proto__x: { stringValue: 'y' } } } },
        },
      },
    }),
}

describe('each call', () => {
  const token = makeToken({ sub: web, aud: 'a', exp: 4e9 })
  const calls: Record<string, (client: WorkloadApiClient) => Promise<unknown>> = {
    FetchX509SVID: (client) => client.fetchX509Context(),
    FetchX509Bundles: (client) => client.fetchX509Bundles(),
    FetchJWTBundles: (client) => client.fetchJwtBundles(),
    FetchJWTSVID: (client) => client.fetchJwtSvid('a'),
    ValidateJWTSVID: (client) => client.validateJwtSvid(token, 'a'),
  }
  for (const [method, call] of Object.entries(calls)) {
    test(`${method} carries workload.spiffe.io: true exactly once and nothing of the environment`, async () => {
      vi.stubEnv('POD_NAME', 'web-1')
      const { agent, client } = await start(everything)
      await call(client)
      expect(agent.count(method)).toBe(1)
      for (const { metadata } of agent.seen) {
        expect(metadata['workload.spiffe.io']).toEqual(['true'])
        expect(Object.keys(metadata).filter((key) => key.startsWith('x-'))).toEqual([])
      }
    })

    test(`${method} ends at its deadline with a timeout`, async () => {
      const silent = await startRawServer()
      cleanups.push(silent.close)
      const client = new WorkloadApiClient({ endpoint: silent.endpoint, dialect: 'spiffe' })
      cleanups.push(() => client.close())
      const timed: Record<string, Promise<unknown>> = {
        FetchX509SVID: client.fetchX509Context({ timeoutMs: 100 }),
        FetchX509Bundles: client.fetchX509Bundles({ timeoutMs: 100 }),
        FetchJWTBundles: client.fetchJwtBundles({ timeoutMs: 100 }),
        FetchJWTSVID: client.fetchJwtSvid('a', { timeoutMs: 100 }),
        ValidateJWTSVID: client.validateJwtSvid(token, 'a', { timeoutMs: 100 }),
      }
      await Promise.allSettled(Object.values(timed))
      await expect(timed[method]).rejects.toMatchObject({ code: 'ERR_TIMEOUT', endpoint: silent.endpoint })
    })

    test(`${method} works over tcp, and never through a proxy`, async () => {
      // Nobody listens there.
      for (const name of ['http_proxy', 'grpc_proxy', 'https_proxy']) vi.stubEnv(name, 'http://127.0.0.1:1')
      const { agent, client } = await start(everything, { tcp: true })
      await call(client)
      expect(agent.count(method)).toBe(1)
    })
  }
})

test('the signal ends a call with its own reason', async () => {
  const { agent, client } = await start({ FetchX509SVID: () => undefined })
  const controller = new AbortController()
  const call = client.fetchX509Context({ signal: controller.signal })
  await expect.poll(() => agent.streams.size).toBe(1)
  const reason = new Error('enough')
  controller.abort(reason)
  await expect(call).rejects.toBe(reason)
  await expect.poll(() => agent.streams.size).toBe(0)
})

test('a call on a connection that stands ends with its signal, also when that aborts before anything was sent', async () => {
  const { agent, client } = await start({
    FetchX509SVID: (call, nth) => nth === 0 && call.write(issuer.message([good])),
  })
  await client.fetchX509Context()
  const reason = new Error('enough')
  const controller = new AbortController()
  const call = client.fetchX509Context({ signal: controller.signal })
  controller.abort(reason)
  await expect(call).rejects.toBe(reason)
  const last = client.fetchX509Context()
  await client.close()
  await expect(last).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  expect(agent.count('FetchX509SVID')).toBe(1)
})

test('calls share one connection, at one time and one after the other', async () => {
  const { agent, client } = await start(everything)
  const sockets = new Set<string>()
  // The peer of each call is its connection.
  await Promise.all([client.fetchX509Context(), client.fetchX509Bundles(), client.fetchJwtBundles()])
  await client.fetchX509Context()
  for (const call of agent.seen) sockets.add(call.connection)
  expect(agent.seen.length).toBeGreaterThanOrEqual(3)
  expect(sockets.size).toBe(1)
})

test('many calls at one time are no leak, and nobody is warned of one', async () => {
  const { client } = await start(everything)
  const source = await JwtSource.open({ client })
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  const many = Array.from({ length: 20 }, (_, index) => `audience-${index}`)
  await Promise.all(many.map((audience) => Promise.all([client.fetchX509Context(), source.getJwtSvid(audience)])))
  process.off('warning', onWarning)
  await source.close()
  expect(warnings).toEqual([])
})

test('close() ends calls and iterations with ClosedError, and what comes after', async () => {
  const { agent, client } = await start({ FetchX509SVID: () => undefined })
  const call = client.fetchX509Context()
  const iteration = client.watchX509Context().next()
  await expect.poll(() => agent.streams.size).toBe(2)
  await client.close()
  await client.close()
  const closed = { code: 'ERR_CLOSED' }
  await expect(call).rejects.toMatchObject(closed)
  await expect(iteration).rejects.toMatchObject(closed)
  await expect(client.fetchX509Context()).rejects.toMatchObject(closed)
  expect(() => client.watchX509Context()).toThrow(expect.objectContaining(closed))
  await expect.poll(() => agent.streams.size).toBe(0)
})

describe('watchX509Context()', () => {
  test('yields what changes, tells what happens, and ends with the loop', async () => {
    const second = await issuer.issue()
    const { agent, client } = await start(x509)
    const events: WatchEvent['type'][] = []
    const paths: string[] = []
    for await (const context of client.watchX509Context({ onEvent: ({ type }) => events.push(type) })) {
      paths.push(context.defaultSvid.serialNumber)
      if (paths.length === 2) break
      agent.send(Buffer.from('rubbish'))
      agent.send(issuer.message([good]))
      agent.send(issuer.message([second]))
    }
    expect(paths).toEqual([good.serialNumber, second.serialNumber])
    expect(events).toEqual(['connecting', 'open', 'discarded'])
    await expect.poll(() => agent.streams.size).toBe(0)
  })

  test('throws what the agent refuses for good', async () => {
    const { client } = await start({
      FetchX509SVID: (call) => refuse(call, { code: status.INVALID_ARGUMENT, details: 'no' }),
    })
    await expect(client.watchX509Context().next()).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED' })
  })

  test('ends with the reason of its signal, and leaves no stream', async () => {
    const { agent, client } = await start(x509)
    const controller = new AbortController()
    const updates = client.watchX509Context({ signal: controller.signal })
    await updates.next()
    const waiting = updates.next()
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    await expect.poll(() => agent.streams.size).toBe(0)
  })
})

describe('JWT-SVIDs', () => {
  test('are asked for with every audience and the SPIFFE ID that is named', async () => {
    const requests: unknown[] = []
    const { client } = await start({
      ...x509,
      FetchJWTSVID: (request) => {
        requests.push(request)
        return jwtResponse({ spiffeId: web, svid: makeToken({ sub: web, aud: ['a', 'b'], exp: 4e9 }), hint: 'in' })
      },
    })
    const svid = await client.fetchJwtSvid(['a', 'b'], { spiffeId: web })
    expect(requests).toEqual([{ audience: ['a', 'b'], spiffeId: web }])
    expect(svid).toMatchObject({ audience: ['a', 'b'], hint: 'in', expiresAt: new Date(4e12) })
    expect(svid.id.toString()).toBe(web)
    for (const text of [inspect(svid), JSON.stringify(svid), String(svid)])
      expect(text).not.toContain(svid.token.slice(0, 20))
  })

  for (const [what, audience, spiffeId, code] of [
    ['no audience', [], undefined, 'ERR_INVALID_ARGUMENT'],
    ['an empty audience', ['a', ''], undefined, 'ERR_INVALID_ARGUMENT'],
    ['a SPIFFE ID that is none', 'a', 'foo', 'ERR_SPIFFE_ID_INVALID'],
  ] as const)
    test(`are not asked for with ${what}`, async () => {
      const { agent, client } = await start(everything)
      await expect(client.fetchJwtSvid(audience, { spiffeId })).rejects.toMatchObject({ code })
      expect(agent.seen).toEqual([])
    })
})

test('a token never appears in an error, also when the agent repeats it', async () => {
  const token = makeToken({ sub: web, aud: 'a', exp: 4e9 })
  const { client } = await start({
    ...x509,
    ValidateJWTSVID: ({ svid }) => new Refusal(status.INVALID_ARGUMENT, `cannot validate ${String(svid)}`),
  })
  const error: unknown = await client.validateJwtSvid(token, 'a').catch((e: unknown) => e)
  expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED', grpcStatus: 3 })
  expect(inspect(error)).not.toContain(token)
  expect((error as Error).message).toContain('cannot validate [redacted]')
})

test('the claims of a validated token are plain values', async () => {
  const { client } = await start(everything)
  const { id, claims } = await client.validateJwtSvid(makeToken({ sub: web, aud: 'a', exp: 4e9 }), 'a')
  expect(id.toString()).toBe(web)
  expect(Object.getPrototypeOf(claims)).toBeNull()
  expect(structuredClone(claims)).toEqual({
    sub: web,
    aud: ['a'],
    exp: 4e9,
    admin: true,
    nothing: null,
    nested: { __proto__x: 'y' },
  })
})

describe('limits', () => {
  test('a message larger than allowed is an error that says so', async () => {
    const { client } = await start(x509, { limits: { maxMessageBytes: 200 } })
    const error: unknown = await client.fetchX509Context().catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
    expect((error as Error).message).toContain('limits.maxMessageBytes')
  })

  test('a message larger than allowed is discarded by a watch, which opens its stream again', async () => {
    const large = issuer.message(
      [good],
      Object.fromEntries(['b', 'c', 'd'].map((td) => [`spiffe://${td}`, issuer.bundleDer])),
    )
    const small = issuer.message([good])
    const script: Script = { FetchX509SVID: (call, nth) => call.write(nth === 0 ? large : small) }
    const { client, agent } = await start(script, { limits: { maxMessageBytes: small.length } })
    const events: string[] = []
    const watch = client.watchX509Context({ onEvent: ({ type }) => events.push(type), backoff: () => 1 })
    expect((await watch.next()).value?.defaultSvid.equals(good)).toBe(true)
    await watch.return?.()
    expect(events.filter((type) => type === 'discarded' || type === 'retry')).toEqual(['discarded', 'retry'])
    expect(agent.count('FetchX509SVID')).toBe(2)
  })

  for (const [limit, message] of [
    ['maxSvids', () => issuer.message([good, good])],
    ['maxBundles', () => issuer.message([good], { 'spiffe://b': issuer.bundleDer, 'spiffe://c': issuer.bundleDer })],
    ['maxCrls', () => messageOf([issuer.entry(good)], {}, [Buffer.of(48, 0), Buffer.of(48, 0)])],
    ['maxCrlBytes', () => messageOf([issuer.entry(good)], {}, [Buffer.of(48, 0)])],
  ] as const)
    test(`${limit} discards the message and is named`, async () => {
      const script: Script = { FetchX509SVID: (call) => call.write(message()) }
      const { client } = await start(script, { limits: { [limit]: 1 } })
      const error: unknown = await client.fetchX509Context().catch((e: unknown) => e)
      expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
      expect((error as Error).message).toContain(limit)
    })

  test('maxCertificatesPerBundle discards the message and is named, when it is the own bundle that is too large', async () => {
    const other = await Issuer.create('other.test')
    const bundle = Buffer.concat([issuer.bundleDer, other.bundleDer])
    const script: Script = { FetchX509SVID: (call) => call.write(messageOf([issuer.entry(good, { bundle })])) }
    const { client } = await start(script, { limits: { maxCertificatesPerBundle: 1 } })
    await expect(client.fetchX509Context()).rejects.toThrow('maxCertificatesPerBundle')
  })

  test('maxKeysPerBundle discards the message and is named', async () => {
    const td = new TestTrustDomain('example.org')
    const { keys } = td.jwtBundle().toJSON()
    const document = Buffer.from(JSON.stringify({ keys: [...keys, ...keys] }))
    const bundles = encode('JWTBundlesResponse', { bundles: { 'spiffe://example.org': document } })
    const script: Script = { FetchX509SVID: x509.FetchX509SVID!, FetchJWTBundles: (call) => call.write(bundles) }
    const { client } = await start(script, { limits: { maxKeysPerBundle: keys.length } })
    await expect(client.fetchJwtBundles()).rejects.toThrow('maxKeysPerBundle')
  })

  for (const [what, options] of [
    ['an unknown dialect', { dialect: 'spire' }],
    ['a label that is no text', { labels: { pod: { tier: 5 } } }],
  ] as unknown as [string, WorkloadApiClientOptions][])
    test(`${what} is refused`, () => {
      expect(() => new WorkloadApiClient({ endpoint: 'unix:///a', ...options })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
    })

  test('a limit that is no positive whole number is refused', () => {
    for (const maxSvids of [0, -1, 1.5, NaN])
      expect(() => new WorkloadApiClient({ endpoint: 'unix:///a', limits: { maxSvids } })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
  })

  test('a thousand federated bundles fit', async () => {
    const federated = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, index) => [`spiffe://td-${index}`, issuer.bundleDer]),
    )
    const { client } = await start({ FetchX509SVID: (call) => call.write(issuer.message([good], federated)) })
    expect((await client.fetchX509Context()).bundles.size).toBe(1_001)
  })
})
