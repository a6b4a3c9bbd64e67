import { createLocalJWKSet, jwtVerify } from 'jose'
import type { JSONWebKeySet } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { keepUntilEnd } from './keep-until-end.js'
import { nodeNamed } from './node-named.js'
import { type SpireAgent, SpireServer } from './spire/cluster.js'
import { Workload } from './workload.js'

const td = 'spiffe://example.org'
const [web, payments, internal, external] = [`${td}/web`, `${td}/payments`, `${td}/in`, `${td}/out`]

let server: SpireServer
let agent: SpireAgent
/** The node binary by three names. The third has two identities. */
let binaries: Record<'web' | 'payments' | 'both', string>
let a: Workload
let b: Workload

const keep = keepUntilEnd()

beforeAll(async () => {
  server = await keep(SpireServer.start({ trustDomain: 'example.org' }))
  const [one, two, three] = await Promise.all(['web', 'payments', 'both'].map((name) => nodeNamed(name, server.dir)))
  binaries = { web: one!, payments: two!, both: three! }
  await server.createEntry({ spiffeId: web, selectors: [`unix:path:${binaries.web}`] })
  await server.createEntry({
    spiffeId: payments,
    selectors: [`unix:path:${binaries.payments}`],
    dnsNames: ['localhost'],
  })
  await server.createEntry({ spiffeId: internal, selectors: [`unix:path:${binaries.both}`], hint: 'internal' })
  await server.createEntry({ spiffeId: external, selectors: [`unix:path:${binaries.both}`], hint: 'external' })
  agent = await server.agent({ name: 'agent' })
  ;[a, b] = await Promise.all([
    keep(Workload.start({ endpoint: agent.endpoint, binary: binaries.web, authorize: [payments, external] })),
    keep(Workload.start({ endpoint: agent.endpoint, binary: binaries.payments, authorize: [web, internal, external] })),
  ])
})

test('each process has the identity that the agent knows its binary by', async () => {
  expect(await a.event('ready')).toMatchObject({ spiffeId: web, pid: a.pid })
  expect(await b.event('ready')).toMatchObject({ spiffeId: payments, pid: b.pid })
})

for (const via of ['https', 'fetch', 'undici'] as const)
  test(`mutual TLS over ${via}, both ways: each side knows the other`, async () => {
    const there = await a.call({ via, url: b.url, authorize: payments })
    expect(there).toMatchObject({ status: 200, body: { by: payments, caller: web } })
    const back = await b.call({ via, url: a.url, authorize: web })
    expect(back).toMatchObject({ status: 200, body: { by: web, caller: payments } })
  })

for (const via of ['https', 'fetch', 'undici'] as const)
  test(`a server that is another workload than expected is refused over ${via}`, async () => {
    const call = a.call({ via, url: b.url, authorize: `${td}/ledger` })
    await expect(call).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
  })

test('a proved workload that is not on the list of the server is answered 403', async () => {
  await using guest = await Workload.start({
    endpoint: agent.endpoint,
    binary: binaries.both,
    options: { pickSvid: { hint: 'internal' } },
  })
  expect(await guest.call({ via: 'https', url: a.url, authorize: web })).toMatchObject({ status: 403 })
})

describe('a workload with two identities', () => {
  test('is given both with their hints', async () => {
    await using workload = await Workload.start({ endpoint: agent.endpoint, binary: binaries.both })
    const svids = await workload.ask<object[]>('ask agent', { method: 'fetchX509Context' })
    expect(svids).toHaveLength(2)
    expect(svids).toEqual(
      expect.arrayContaining([
        { id: internal, hint: 'internal' },
        { id: external, hint: 'external' },
      ]),
    )
    expect(await workload.event('ready')).toMatchObject({ spiffeId: (svids[0] as { id: string }).id })
  })

  for (const [how, pickSvid, expected] of [
    ['the hint internal', { hint: 'internal' }, internal],
    ['the hint external', { hint: 'external' }, external],
    ['its SPIFFE ID', { spiffeId: external }, external],
  ] as const)
    test(`shows the one that was picked by ${how}`, async () => {
      await using workload = await Workload.start({
        endpoint: agent.endpoint,
        binary: binaries.both,
        options: { pickSvid },
      })
      expect(await workload.event('ready')).toMatchObject({ spiffeId: expected })
      const { body } = await workload.call({ via: 'https', url: b.url, authorize: payments })
      expect(body.caller).toBe(expected)
    })

  test('is not given a hint that nobody registered', async () => {
    await using workload = Workload.spawn({
      endpoint: agent.endpoint,
      binary: binaries.both,
      options: { pickSvid: { hint: 'elsewhere' }, initialTimeoutMs: 1_000 },
    })
    await expect(workload.ready()).rejects.toThrow(/ERR_SVID_NOT_FOUND/)
  })
})

interface Jwt {
  id: string
  token: string
  audience: string[]
  hint?: string
  expiresAt: string
}

describe('JWT-SVIDs', () => {
  const ask = <T>(workload: Workload, method: string, ...args: unknown[]) =>
    workload.ask<T>('ask agent', { method, args })

  test('what one workload is issued for an audience, the agent validates for the other', async () => {
    const svid = await ask<Jwt>(a, 'fetchJwtSvid', ['payments', 'ledger'])
    expect(svid).toMatchObject({ id: web, audience: ['payments', 'ledger'] })
    expect(Date.parse(svid.expiresAt)).toBeGreaterThan(Date.now())
    const proved = await ask<{ id: string; claims: object }>(b, 'validateJwtSvid', svid.token, 'payments')
    expect(proved).toMatchObject({ id: web, claims: { sub: web, aud: ['payments', 'ledger'] } })
  })

  test('the keys of the agent verify it without the agent', async () => {
    const { token } = await ask<Jwt>(a, 'fetchJwtSvid', 'payments')
    const bundles = await ask<Record<string, JSONWebKeySet>>(b, 'fetchJwtBundles')
    // SPIFFE's word for the use of these keys is not one that jose knows.
    const keys = bundles['example.org']!.keys.map((key) => ({ ...key, use: 'sig' }))
    const { payload } = await jwtVerify(token, createLocalJWKSet({ keys }), { audience: 'payments' })
    expect(payload.sub).toBe(web)
  })

  test('one for another audience is not accepted', async () => {
    const { token } = await ask<Jwt>(a, 'fetchJwtSvid', 'payments')
    const answer = ask(b, 'validateJwtSvid', token, 'ledger')
    await expect(answer).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED', grpcStatus: 3 })
  })

  test('one that was tampered with is not accepted', async () => {
    const { token } = await ask<Jwt>(a, 'fetchJwtSvid', 'payments')
    const [head, body, signature] = token.split('.')
    const other = Buffer.from(signature!, 'base64url')
    other[0]! ^= 1
    const answer = ask(b, 'validateJwtSvid', `${head!}.${body!}.${other.toString('base64url')}`, 'payments')
    await expect(answer).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED', grpcStatus: 3 })
  })

  test('a workload with two identities gets one for each, or for the one it names', async () => {
    await using workload = await Workload.start({ endpoint: agent.endpoint, binary: binaries.both })
    const all = await ask<Jwt[]>(workload, 'fetchJwtSvids', 'payments')
    expect(new Map(all.map(({ id, hint }) => [id, hint]))).toEqual(
      new Map([
        [internal, 'internal'],
        [external, 'external'],
      ]),
    )
    const one = await ask<Jwt>(workload, 'fetchJwtSvid', 'payments', { spiffeId: external })
    expect(one).toMatchObject({ id: external, hint: 'external' })
  })

  test('QuickStartSVID fetches one for the identity it uses, and another one validates it', async () => {
    await using workload = await Workload.start({
      endpoint: agent.endpoint,
      binary: binaries.both,
      options: { pickSvid: { hint: 'external' } },
    })
    const token = await workload.ask<string>('fetch jwt', { audience: 'payments' })
    const proved = await b.ask('validate jwt', { token, audience: 'payments' })
    expect(proved).toMatchObject({ spiffeId: external, claims: { sub: external, aud: ['payments'] } })
  })

  test('an identity that is not its own is not issued to a workload', async () => {
    const answer = ask(a, 'fetchJwtSvid', 'payments', { spiffeId: payments })
    await expect(answer).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 })
  })
})
