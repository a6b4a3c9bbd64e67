import { expect, test } from 'vitest'
import { CertificateRevocationList } from '../../../src/encoding/index.js'
import { connect, startAgent } from './scope.js'

const web = 'spiffe://example.org/web'
const listed = (crl: readonly Buffer[]) => crl.map((der) => CertificateRevocationList.parse(der))

test('WAPI-21 a revocation list comes with the SVIDs and with the bundles, in open streams and in new ones', async () => {
  const agent = await startAgent()
  const { endpoint, svid } = await agent.workload(web)
  const client = connect(endpoint)
  const [svids, bundles] = [client.x509Svids(), client.x509Bundles()]
  for (const stream of [svids, bundles]) expect((await stream.next()).crl).toEqual([])
  await agent.revoke(svid)
  for (const stream of [svids, bundles, client.x509Svids(), client.x509Bundles()]) {
    const [list, ...others] = listed((await stream.next()).crl)
    expect(others).toEqual([])
    expect([list!.size, list!.names(svid.serialNumber)]).toEqual([1, true])
    expect(list!.isSignedBy(agent.bundle.authorities[0]!)).toBe(true)
  }
})

test('the list of a federated agent comes too, and goes with the federation', async () => {
  const agent = await startAgent()
  const partner = await startAgent({ trustDomain: 'partner.example' })
  const stock = await partner.workload('spiffe://partner.example/stock')
  const stream = connect((await agent.workload(web)).endpoint).x509Svids()
  await stream.next()
  const federation = agent.federateWith(partner)
  expect((await stream.next()).crl).toEqual([])
  await partner.revoke(stock.svid)
  expect(listed((await stream.next()).crl).map((list) => list.names(stock.svid.serialNumber))).toEqual([true])
  federation.end()
  expect((await stream.next()).crl).toEqual([])
})

test('each authority has a list of its own, which goes with it', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const first = workload.svid
  await agent.prepareAuthority()
  await agent.activateAuthority()
  const second = workload.svid
  await agent.revoke(first)
  await agent.revoke(second)
  const names = () =>
    agent.bundle.revocationLists.map((list) => [first, second].map((svid) => list.names(svid.serialNumber)))
  expect(names()).toEqual([
    [false, true],
    [true, false],
  ])
  agent.retireAuthorities()
  expect(names()).toEqual([[false, true]])
  await expect(agent.revoke(first)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})

test('an SVID that another agent issued is not revoked here', async () => {
  const agent = await startAgent()
  const stranger = await (await startAgent()).workload(web)
  await expect(agent.revoke(stranger.svid)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  expect(agent.bundle.crls).toEqual([])
})
