import { beforeAll, describe, expect, test } from 'vitest'
import { BundleSource, JwtSource, WorkloadApiClient, X509Source } from '../../src/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'
import { keepUntilEnd } from './keep-until-end.js'
import { type SpireAgent, SpireServer } from './spire/cluster.js'
import { LocalAuthority } from './spire/local-authority.js'

// This process is the workload: of two agents of two trust domains that federate.

const [web, batch, ledger] = ['spiffe://shop.test/web', 'spiffe://shop.test/batch', 'spiffe://bank.test/ledger']
const [shopTest, bankTest] = [TrustDomain.parse('shop.test'), TrustDomain.parse('bank.test')]
const patience = { timeout: 20_000, interval: 20 }

const keep = keepUntilEnd()
let shop: SpireServer
let agent: SpireAgent
let client: WorkloadApiClient
let abroad: WorkloadApiClient
let jwt: JwtSource

beforeAll(async () => {
  const start = (trustDomain: string) => keep(SpireServer.start({ trustDomain }))
  let bank: SpireServer
  ;[shop, bank] = await Promise.all([start('shop.test'), start('bank.test')])
  await shop.bundleSet('bank.test', await bank.bundleShow())
  await bank.bundleSet('shop.test', await shop.bundleShow())
  const selectors = [`unix:uid:${process.getuid!()}`]
  await shop.createEntry({ spiffeId: web, selectors, hint: 'web', federatesWith: ['bank.test'] })
  await shop.createEntry({ spiffeId: batch, selectors, hint: 'batch', x509SvidTtl: 10, federatesWith: ['bank.test'] })
  await bank.createEntry({ spiffeId: ledger, selectors, federatesWith: ['shop.test'] })
  const [one, two] = await Promise.all([shop.agent({ name: 'agent' }), bank.agent({ name: 'agent' })])
  agent = one
  client = await keep(Promise.resolve(new WorkloadApiClient({ endpoint: one.endpoint })))
  abroad = await keep(Promise.resolve(new WorkloadApiClient({ endpoint: two.endpoint })))
  // A source waits for its entry; a bare client is told that it has none.
  const [first] = await Promise.all(
    [one, two].map(async ({ endpoint }) => {
      await (await X509Source.open({ endpoint })).close()
      return keep(JwtSource.open({ endpoint }))
    }),
  )
  jwt = first!
})

/** SPIRE has an order of its own for identities. */
const fetchForWeb = (audience: string | readonly string[]) => jwt.getJwtSvid(audience, { spiffeId: web })
const kidOf = (token: string) =>
  (JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { kid: string }).kid
const keysOf = (source: JwtSource | BundleSource) =>
  source.getJwtBundle(shopTest)?.authorities.map(({ keyId }) => keyId) ?? []

describe('a JWT-SVID of real SPIRE', () => {
  test('is what the client asked for: each identity, the one that is named, all its audiences', async () => {
    const all = await client.fetchJwtSvids(['ledger', 'reports'])
    expect(new Map(all.map(({ id, hint }) => [id.toString(), hint]))).toEqual(
      new Map([
        [web, 'web'],
        [batch, 'batch'],
      ]),
    )
    for (const { audience } of all) expect(audience).toEqual(['ledger', 'reports'])
    const one = await client.fetchJwtSvid('ledger', { spiffeId: batch })
    expect(one).toMatchObject({ hint: 'batch', audience: ['ledger'] })
    const notOurs = client.fetchJwtSvid('ledger', { spiffeId: 'spiffe://shop.test/other' })
    await expect(notOurs).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 })
  })

  test('is proved by the agent and by a source alone, which agree', async () => {
    const { token, expiresAt } = await fetchForWeb(['ledger', 'reports'])
    const [local, byAgent] = [await jwt.validate(token, 'reports'), await client.validateJwtSvid(token, 'reports')]
    for (const proved of [local, byAgent]) {
      expect(proved.id.toString()).toBe(web)
      expect(proved.claims).toMatchObject({ sub: web, aud: ['ledger', 'reports'], exp: expiresAt.getTime() / 1000 })
    }
    await expect(jwt.validate(token, 'payroll')).rejects.toMatchObject({ code: 'ERR_JWT_SVID_AUDIENCE' })
    const byAgentToo = client.validateJwtSvid(token, 'payroll')
    await expect(byAgentToo).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED', grpcStatus: 3 })
    const [head, claims, signature] = token.split('.')
    const forged = Buffer.from(signature!, 'base64url')
    forged[7]! ^= 1
    const changed = jwt.validate(`${head!}.${claims!}.${forged.toString('base64url')}`, 'reports')
    await expect(changed).rejects.toMatchObject({ code: 'ERR_JWT_SVID_SIGNATURE' })
  })

  test('of a federated trust domain is proved by a source alone', async () => {
    await expect.poll(() => jwt.getJwtBundle(bankTest)?.authorities.length, patience).toBe(1)
    const { token } = await abroad.fetchJwtSvid('reports')
    expect((await jwt.validate(token, 'reports')).id.toString()).toBe(ledger)
    expect((await client.validateJwtSvid(token, 'reports')).id.toString()).toBe(ledger)
  })
})

test('the keys of JWT-SVIDs roll over: old and new tokens are proved, until the old key is revoked', async () => {
  const authority = new LocalAuthority(shop, 'jwt')
  const old = await authority.active()
  await using bundles = await BundleSource.open({ endpoint: agent.endpoint })
  const before = await fetchForWeb('ledger')
  expect(kidOf(before.token)).toBe(old)
  expect(keysOf(jwt)).toEqual([old])

  const next = await authority.prepare()
  await expect.poll(() => keysOf(jwt).sort(), patience).toEqual([old, next].sort())
  await authority.activate()
  // The agent keeps tokens as well; nobody has asked for this audience before.
  const after = await fetchForWeb('since the roll-over')
  expect(kidOf(after.token)).toBe(next)
  expect((await jwt.validate(before.token, 'ledger')).id.toString()).toBe(web)
  expect((await jwt.validate(after.token, 'since the roll-over')).id.toString()).toBe(web)

  await authority.taint()
  // The agent lets go of the tokens that it keeps, when it hears of this.
  await expect
    .poll(async () => kidOf((await client.fetchJwtSvid('ledger', { spiffeId: web })).token), patience)
    .toBe(next)
  await authority.revoke()
  for (const source of [jwt, bundles]) await expect.poll(() => keysOf(source), patience).toEqual([next])
  await expect(jwt.validate(before.token, 'ledger')).rejects.toMatchObject({ code: 'ERR_AUTHORITY_NOT_FOUND' })
  // The source has let go of what the old key signed.
  const again = await fetchForWeb('ledger')
  expect(kidOf(again.token)).toBe(next)
  expect((await jwt.validate(again.token, 'ledger')).id.toString()).toBe(web)
})

test('the X.509 authority rolls over: every SVID is proved by the bundle that came with it', async () => {
  const authority = new LocalAuthority(shop, 'x509')
  await using source = await X509Source.open({ endpoint: agent.endpoint })
  await using bundles = await BundleSource.open({ endpoint: agent.endpoint })
  /** The authority to which each SVID leads. */
  const rootsInUse = () =>
    source.context.svids.map(({ certificates }) => {
      const chain = certificates.map(({ der }) => der)
      return verifyX509Svid(chain, source.context.bundles).path.at(-1)!.serialNumber
    })
  const faults: unknown[] = []
  source.onUpdate(() => {
    try {
      rootsInUse()
    } catch (error) {
      faults.push(error)
    }
  })
  const published = () => bundles.getX509Bundle(shopTest)!.authorities.map(({ serialNumber }) => serialNumber)

  const [old] = published()
  expect(rootsInUse()).toEqual([old, old])
  await authority.prepare()
  await expect.poll(() => published().length, patience).toBe(2)
  const next = published().find((root) => root !== old)
  await authority.activate()
  // The one with the short life takes up the new authority by itself, the other one when the old authority is tainted.
  await expect.poll(rootsInUse, patience).toContain(next)
  await authority.taint()
  await expect.poll(rootsInUse, patience).toEqual([next, next])
  expect(faults).toEqual([])
})

test('without its agent a source proves on and gives what it has; with the agent back it gives the rest', async () => {
  const kept = await fetchForWeb('kept')
  const gone = new Promise((resolve) => jwt.once('retry', resolve))
  await agent.kill()
  await gone
  expect((await fetchForWeb('kept')).token).toBe(kept.token)
  expect((await jwt.validate(kept.token, 'kept')).id.toString()).toBe(web)
  await expect(fetchForWeb('new')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
  await agent.start()
  await expect.poll(() => jwt.status().state, patience).toBe('ready')
  const { token } = await fetchForWeb('new')
  expect((await jwt.validate(token, 'new')).id.toString()).toBe(web)
})
