import { expect, test } from 'vitest'
import { connect, startAgent } from './scope.js'

const web = 'spiffe://example.org/web'
const partnerKey = 'spiffe://partner.example'

async function pair() {
  const agent = await startAgent()
  const partner = await startAgent({ trustDomain: 'partner.example' })
  const { endpoint } = await agent.workload(web)
  const client = connect(endpoint)
  return { agent, partner, svids: client.x509Svids(), bundles: client.x509Bundles() }
}

test('a federated bundle goes into the messages, never in place of the own one', async () => {
  const { agent, partner, svids, bundles } = await pair()
  expect((await svids.next()).federated_bundles).toEqual({})
  await bundles.next()
  agent.federateWith(partner)
  const message = await svids.next()
  expect(message.federated_bundles).toEqual({ [partnerKey]: partner.bundle.toDer() })
  expect(message.svids[0]!.bundle).toEqual(agent.bundle.toDer())
  expect((await bundles.next()).bundles).toEqual({
    'spiffe://example.org': agent.bundle.toDer(),
    [partnerKey]: partner.bundle.toDer(),
  })
})

test('federation is one way, and both ways when both agents say so', async () => {
  const { agent, partner } = await pair()
  const other = connect((await partner.workload('spiffe://partner.example/stock')).endpoint).x509Svids()
  await other.next()
  agent.federateWith(partner)
  partner.federateWith(agent)
  // The first change that this stream sees is its own agent's.
  expect(Object.keys((await other.next()).federated_bundles)).toEqual(['spiffe://example.org'])
})

test('a roll-over of the partner arrives by itself, also when both federate with each other', async () => {
  const { agent, partner, svids } = await pair()
  await svids.next()
  agent.federateWith(partner)
  partner.federateWith(agent)
  await svids.next()
  const before = partner.bundle.toDer()
  await partner.prepareAuthority()
  const both = await svids.next()
  expect(both.federated_bundles[partnerKey]!.length).toBeGreaterThan(before.length)
  await partner.activateAuthority()
  partner.retireAuthorities()
  const last = await svids.next()
  expect(last.federated_bundles[partnerKey]).toEqual(partner.bundle.toDer())
  expect(last.federated_bundles[partnerKey]).not.toEqual(Buffer.from(before))
})

for (const how of ['end()', 'the close of the partner'] as const) {
  test(`${how} takes the bundle out of the messages`, async () => {
    const { agent, partner, svids } = await pair()
    await svids.next()
    const federation = agent.federateWith(partner)
    await svids.next()
    if (how === 'end()') federation.end()
    else await partner.close()
    expect((await svids.next()).federated_bundles).toEqual({})
  })
}

test('after the own close, changes of the partner go nowhere', async () => {
  const { agent, partner } = await pair()
  agent.federateWith(partner)
  await agent.close()
  await partner.prepareAuthority()
  expect(partner.bundle.authorities).toHaveLength(2)
})

test('a fixed bundle is handed out as it is; a second one of the same trust domain replaces it', async () => {
  const { agent, partner, svids } = await pair()
  await svids.next()
  const first = agent.federateWith(partner.bundle)
  await svids.next()
  await partner.prepareAuthority()
  agent.federateWith(partner.bundle)
  const message = await svids.next()
  expect(message.federated_bundles[partnerKey]).toEqual(partner.bundle.toDer())
  // The first tie is history; ending it must not end its successor.
  first.end()
  expect((await connect(agent.workloads[0]!.endpoint).x509Svids().next()).federated_bundles).toHaveProperty([
    partnerKey,
  ])
})

test('bundles come in the same order whatever the order of the ties', async () => {
  const { agent, svids } = await pair()
  await svids.next()
  for (const trustDomain of ['c.example', 'a.example', 'b.example']) {
    agent.federateWith((await startAgent({ trustDomain })).bundle)
  }
  const message = await svids.until(({ federated_bundles }) => Object.keys(federated_bundles).length === 3)
  expect(Object.keys(message.federated_bundles)).toEqual(
    ['a.example', 'b.example', 'c.example'].map((td) => `spiffe://${td}`),
  )
})

test('the own trust domain is refused', async () => {
  const { agent } = await pair()
  const twin = await startAgent()
  expect(() => agent.federateWith(twin)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
})
