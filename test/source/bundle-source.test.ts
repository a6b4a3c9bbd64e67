import { status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { BundleSource, type BundleSourceOptions } from '../../src/source/index.js'
import { verifyJwtSvid, verifyX509Svid } from '../../src/svid/index.js'
import { denied, encode, refuse, ScriptedAgent, type Script } from '../workload-api/scripted-agent.js'

const td = new TestTrustDomain('example.org')
const partner = new TestTrustDomain('partner.example')
type Domains = readonly TestTrustDomain[]

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const byId = <T>(domains: Domains, value: (domain: TestTrustDomain) => T) =>
  Object.fromEntries(domains.map((domain) => [domain.trustDomain.idString, value(domain)]))
const x509Message = (...domains: Domains) =>
  encode('X509BundlesResponse', { bundles: byId(domains, (domain) => domain.bundle().toDer()) })
const jwtMessage = (...domains: Domains) =>
  encode('JWTBundlesResponse', { bundles: byId(domains, (domain) => Buffer.from(JSON.stringify(domain.jwtBundle()))) })

const both: Script = {
  // The workload has no identity; its agent tells it the bundles all the same.
  FetchX509SVID: (call) => refuse(call, denied),
  FetchX509Bundles: (call) => void call.write(x509Message(td)),
  FetchJWTBundles: (call) => void call.write(jwtMessage(td)),
}

async function open(script: Script = {}, options: BundleSourceOptions = {}) {
  const agent = await ScriptedAgent.start({ ...both, ...script })
  cleanups.push(() => agent.close())
  const source = await BundleSource.open({ endpoint: agent.endpoint, initialTimeoutMs: 5_000, ...options })
  cleanups.push(() => source.close())
  return { agent, source }
}

type EventName = 'update' | 'withdrawn' | 'retry' | 'discarded'
const next = (source: BundleSource, name: EventName) =>
  new Promise<unknown>((resolve) => source.once(name, (value: unknown) => resolve(value)))

test('proves X509-SVIDs and JWT-SVIDs for a workload that has no SVID', async () => {
  const { source } = await open()
  expect(verifyX509Svid([td.leaf().der], source).id.path).toBe('/w')
  expect((await verifyJwtSvid(td.token(), source, { audience: 'a' })).id.path).toBe('/w')
  expect(() => verifyX509Svid([partner.leaf().der], source)).toThrow(
    expect.objectContaining({ code: 'ERR_BUNDLE_NOT_FOUND' }) as Error,
  )
  await expect(verifyJwtSvid(partner.token(), source, { audience: 'a' })).rejects.toMatchObject({
    code: 'ERR_BUNDLE_NOT_FOUND',
  })
  expect(source.status()).toMatchObject({ state: 'ready', x509: { state: 'ready' }, jwt: { state: 'ready' } })
})

test('each update is one frozen snapshot of both; equal messages wake nobody', async () => {
  const { agent, source } = await open()
  let calls = 0
  source.onUpdate(() => calls++)
  const updates = source.updates()
  const { value: first } = await updates.next()
  expect(Object.isFrozen(first)).toBe(true)
  for (const call of agent.streams) {
    const isX509 = call.getPath().endsWith('FetchX509Bundles')
    call.write(isX509 ? x509Message(td) : jwtMessage(td))
    if (!isX509) call.write(jwtMessage(td, partner))
  }
  const { value: second } = await updates.next()
  expect(second?.x509Bundles).toBe(first?.x509Bundles)
  expect([first?.jwtBundles.size, second?.jwtBundles.size]).toEqual([1, 2])
  expect(source.snapshot).toEqual(second)
  expect(source.getJwtBundle(partner.trustDomain)).toBeDefined()
  await expect.poll(() => source.status().x509?.messages.unchanged).toBe(1)
  expect(calls).toBe(1)
})

test('a bundle that a message leaves out is no longer used', async () => {
  const { agent, source } = await open({ FetchX509Bundles: (call) => void call.write(x509Message(td, partner)) })
  expect(source.getX509Bundle(partner.trustDomain)).toBeDefined()
  const updated = next(source, 'update')
  for (const call of agent.streams) if (call.getPath().endsWith('X509Bundles')) call.write(x509Message(td))
  await updated
  expect(source.getX509Bundle(partner.trustDomain)).toBeUndefined()
})

test('a denial withdraws the bundles of its stream, until they are sent again', async () => {
  const { agent, source } = await open(
    { FetchX509Bundles: (call, nth) => (nth === 1 ? refuse(call, denied) : void call.write(x509Message(td))) },
    { backoff: () => 10 },
  )
  const withdrawn = next(source, 'withdrawn')
  const seen: number[] = []
  source.on('update', ({ x509Bundles }) => seen.push(x509Bundles.size))
  for (const call of agent.streams) if (call.getPath().endsWith('X509Bundles')) call.end()
  expect(await withdrawn).toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
  await expect.poll(() => seen).toEqual([0, 1])
  expect(source.getX509Bundle(td.trustDomain)?.equals(td.bundle())).toBe(true)
  expect(source.status().state).toBe('ready')
})

test('an agent that is away takes nothing back', async () => {
  const { agent, source } = await open({}, { backoff: () => 10 })
  const retry = next(source, 'retry')
  await agent.die()
  await retry
  expect(verifyX509Svid([td.leaf().der], source).id.path).toBe('/w')
  expect(source.status().state).toBe('reconnecting')
  await agent.listen(both)
  await expect.poll(() => source.status().state).toBe('ready')
})

describe('open()', () => {
  test('waits for both kinds', async () => {
    const refused = open({ FetchJWTBundles: () => undefined }, { initialTimeoutMs: 200 })
    await expect(refused).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  })

  for (const [only, missing] of [
    ['x509', 'FetchJWTBundles'],
    ['jwt', 'FetchX509Bundles'],
  ] as const)
    test(`waits for ${only} alone when nothing else is followed`, async () => {
      const { agent, source } = await open({ [missing]: () => undefined }, { only })
      expect(agent.count(missing)).toBe(0)
      expect([source.snapshot.x509Bundles.size, source.snapshot.jwtBundles.size]).toEqual(
        only === 'x509' ? [1, 0] : [0, 1],
      )
      expect(Object.values(source.status()).filter((value) => typeof value === 'object')).toHaveLength(1)
    })

  test('rejects when the agent refuses for good', async () => {
    const refused = open({
      FetchJWTBundles: (call) => refuse(call, { code: status.INVALID_ARGUMENT, details: 'no' }),
    })
    await expect(refused).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED' })
  })
})

test('close() ends the streams and the iterations, and later use says so', async () => {
  const { agent, source } = await open()
  const updates = source.updates()
  await updates.next()
  const waiting = updates.next()
  await source.close()
  await source.close()
  expect(await waiting).toEqual({ done: true, value: undefined })
  expect(() => source.getX509Bundle(td.trustDomain)).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }) as Error)
  expect(source.status().state).toBe('closed')
  await expect.poll(() => agent.streams.size).toBe(0)
})

test('refuses to follow what it does not know', async () => {
  const options = { endpoint: 'unix:///a', only: 'X509' } as unknown as BundleSourceOptions
  await expect(BundleSource.open(options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})
