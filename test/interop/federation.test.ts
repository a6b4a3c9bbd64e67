import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { X509Bundle } from '../../src/bundle/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { Impostor } from './impostor.js'
import { keepUntilEnd } from './keep-until-end.js'
import { nodeNamed } from './node-named.js'
import { authorityOf, type StolenAuthority, stealAuthority, withAuthority } from './spire/authority.js'
import { SpireServer } from './spire/cluster.js'
import type { Told } from './program.js'
import { Workload } from './workload.js'

const [web, ledger] = ['spiffe://shop.test/web', 'spiffe://bank.test/ledger']
const ways = ['https', 'fetch', 'undici'] as const

const keep = keepUntilEnd()
let shop: SpireServer
let bank: SpireServer
/** Of shop.test and of bank.test; everyone is admitted who can prove an ID of either trust domain. */
let a: Workload
let b: Workload

beforeAll(async () => {
  const start = (trustDomain: string) => keep(SpireServer.start({ trustDomain }))
  ;[shop, bank] = await Promise.all([start('shop.test'), start('bank.test')])
  const binaries = { web: await nodeNamed('web', shop.dir), ledger: await nodeNamed('ledger', bank.dir) }
  await shop.bundleSet('bank.test', await bank.bundleShow())
  await bank.bundleSet('shop.test', await shop.bundleShow())
  const [toWeb, toLedger] = [[`unix:path:${binaries.web}`], [`unix:path:${binaries.ledger}`]]
  await shop.createEntry({ spiffeId: web, selectors: toWeb, federatesWith: ['bank.test'] })
  await bank.createEntry({ spiffeId: ledger, selectors: toLedger, federatesWith: ['shop.test'] })
  const [one, two] = await Promise.all([shop.agent({ name: 'agent' }), bank.agent({ name: 'agent' })])
  ;[a, b] = await Promise.all([
    keep(Workload.start({ endpoint: one.endpoint, binary: binaries.web })),
    keep(Workload.start({ endpoint: two.endpoint, binary: binaries.ledger })),
  ])
})

for (const via of ways)
  test(`a call across the two trust domains succeeds both ways over ${via}`, async () => {
    const there = await a.call({ via, url: b.url, authorize: ledger })
    expect(there).toMatchObject({ status: 200, body: { by: ledger, caller: web } })
    const back = await b.call({ via, url: a.url, authorize: web })
    expect(back).toMatchObject({ status: 200, body: { by: web, caller: ledger } })
  })

test('a JWT-SVID of one trust domain is validated by the agent of the other', async () => {
  const svid = await a.ask<{ token: string }>('ask agent', { method: 'fetchJwtSvid', args: ['ledger'] })
  const proved = await b.ask('ask agent', { method: 'validateJwtSvid', args: [svid.token, 'ledger'] })
  expect(proved).toMatchObject({ id: web, claims: { sub: web, aud: ['ledger'] } })
})

describe('the CA of bank.test, in the wrong hands', () => {
  let stolen: StolenAuthority
  let bundle: X509Bundle
  beforeAll(async () => {
    stolen = await stealAuthority(bank)
    bundle = X509Bundle.parsePem(TrustDomain.parse('shop.test'), await shop.run(['bundle', 'show']))
  })
  const holding = (id: string) => new Impostor(stolen.svid(id), bundle)

  // Without these two, everything below could be refused for any other reason.
  test('speaks for bank.test as a client', async () => {
    const answer = await holding('spiffe://bank.test/teller').call(a.url)
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toMatchObject({ by: web, caller: 'spiffe://bank.test/teller' })
  })

  for (const via of ways)
    test(`speaks for bank.test as a server over ${via}`, async () => {
      await holding('spiffe://bank.test/teller').serveDuring(async (url) => {
        const answer = await a.call({ via, url, authorize: 'spiffe://bank.test/teller' })
        expect(answer).toMatchObject({ status: 200, body: { by: 'the impostor' } })
      })
    })

  for (const [id, code] of [
    [web, 'ERR_X509_CHAIN_UNTRUSTED'],
    ['spiffe://shop.test/admin', 'ERR_X509_CHAIN_UNTRUSTED'],
    ['spiffe://elsewhere.test/web', 'ERR_BUNDLE_NOT_FOUND'],
  ] as const)
    test(`does not speak for ${id} as a client`, async () => {
      const earlier = rejectedAs(id).length
      await expect(holding(id).call(a.url)).rejects.toMatchObject({ code: 'ECONNRESET' })
      const rejected = await a.until('a refusal', () => rejectedAs(id)[earlier])
      expect(rejected).toMatchObject({ code })
    })

  for (const via of ways) {
    test(`does not speak for ${web} as a server over ${via}`, async () => {
      await holding(web).serveDuring(async (url) => {
        // Only the CA of shop.test is in the list that this client hands to OpenSSL.
        const call = a.call({ via, url, authorize: web })
        await expect(call).rejects.toMatchObject({ code: 'ERR_X509_CHAIN_UNTRUSTED' })
      })
    })

    test(`does not speak for ${web} as a server over ${via}, to a client that would take anyone`, async () => {
      await holding(web).serveDuring(async (url) => {
        // Here OpenSSL has the CAs of both, and is content.
        const call = a.call({ via, url, authorize: 'any' })
        await expect(call).rejects.toMatchObject({ code: 'ERR_X509_CHAIN_UNTRUSTED' })
      })
    })
  }
})

test('a CA counts from the moment its trust domain publishes it until it is taken back, without a restart', async () => {
  const rogue = new TestTrustDomain('bank.test')
  const { certificate, keys } = rogue.root
  const bundle = X509Bundle.parsePem(TrustDomain.parse('shop.test'), await shop.run(['bundle', 'show']))
  const minted = authorityOf(certificate, keys)
  const teller = new Impostor(minted.svid('spiffe://bank.test/teller'), bundle)
  const thief = new Impostor(minted.svid(web), bundle)
  const admitted = () =>
    teller.call(a.url).then(
      ({ status }) => status === 200,
      () => false,
    )
  const published = await bank.bundleShow()

  expect(await admitted()).toBe(false)
  await shop.bundleSet('bank.test', withAuthority(published, certificate))
  await become(true, admitted)
  const earlier = rejectedAs(web).length
  await expect(thief.call(a.url)).rejects.toMatchObject({ code: 'ECONNRESET' })
  const rejected = await a.until('a refusal', () => rejectedAs(web)[earlier])
  expect(rejected).toMatchObject({ code: 'ERR_X509_CHAIN_UNTRUSTED' })
  await shop.bundleSet('bank.test', published)
  await become(false, admitted)
  // What bank.test really signs is untouched.
  const call = await b.call({ via: 'https', url: a.url, authorize: web, fresh: true })
  expect(call).toMatchObject({ status: 200 })
})

/** What the server of shop.test refused of whoever claimed this SPIFFE ID. */
function rejectedAs(id: string): Told[] {
  return a.events('rejected').filter(({ message }) => String(message).includes(id))
}

/** Looks again and again; the agent hears of a new bundle after a second or so. */
async function become(wanted: boolean, look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000
  while ((await look()) !== wanted) {
    if (Date.now() > deadline) throw new Error(`still ${String(!wanted)} after 20 s`)
    await delay(50)
  }
}
