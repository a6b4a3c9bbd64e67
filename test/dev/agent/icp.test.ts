import { X509Certificate, createPrivateKey } from 'node:crypto'
import { Metadata, status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { marked } from './independent-client.js'
import type { X509BundlesMessage, X509SvidMessage } from './independent-client.js'
import { connect, startAgent } from './scope.js'

const web = 'spiffe://example.org/web'

async function served() {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  return { agent, workload, icp: connect(workload.endpoint, 'icp'), standard: connect(workload.endpoint) }
}

test('the ICP dialect has its own path on the same socket and asks for no security header', async () => {
  const { icp, standard } = await served()
  for (const metadata of [new Metadata(), marked('true'), marked('nonsense')]) {
    expect((await icp.x509Svids(metadata).next()).svids[0]!.spiffe_id).toBe(web)
  }
  expect(await standard.statusOf('FetchX509SVID', {}, new Metadata())).toBe(status.INVALID_ARGUMENT)
})

test('an X509-SVID over ICP is PEM: chain, key and bundle fit together', async () => {
  const { agent, icp } = await served()
  const stream = icp.stream<X509SvidMessage>('FetchX509SVID', new Metadata())
  const [svid] = (await stream.next()).svids
  const leaf = new X509Certificate(svid!.x509_svid.toString())
  expect(svid!.x509_svid.toString()).toMatch(/^-----BEGIN CERTIFICATE-----\n/)
  expect(leaf.subjectAltName).toBe(`URI:${web}`)
  expect(leaf.checkPrivateKey(createPrivateKey(svid!.x509_svid_key.toString()))).toBe(true)
  expect(leaf.verify(new X509Certificate(svid!.bundle.toString()).publicKey)).toBe(true)
  agent.federateWith(await startAgent({ trustDomain: 'partner.example' }))
  expect(Object.keys((await stream.next()).federated_bundles)).toEqual(['partner.example'])
})

test('bundles over ICP are keyed by the bare name, in PEM and as JWK Sets', async () => {
  const { icp } = await served()
  const x509 = await icp.stream<X509BundlesMessage>('FetchX509Bundles').next()
  expect(Object.keys(x509.bundles)).toEqual(['example.org'])
  expect(x509.bundles['example.org']!.toString()).toContain('-----BEGIN CERTIFICATE-----')
  const jwt = await icp.stream<{ bundles: Record<string, Buffer> }>('FetchJWTBundles').next()
  const { keys } = JSON.parse(jwt.bundles['example.org']!.toString()) as { keys: { use: string }[] }
  expect(keys).toMatchObject([{ use: 'sig', alg: 'ES256' }])
})

test('an unknown workload is refused in the words of the ICP agent', async () => {
  const { workload, icp } = await served()
  workload.withdraw()
  expect(await icp.x509Svids().status).toMatchObject({
    code: status.PERMISSION_DENIED,
    details: 'Workload attestation failed',
  })
  expect(await icp.x509Bundles().status).toMatchObject({
    code: status.PERMISSION_DENIED,
    details: 'Workload not attested',
  })
})

test('a token over ICP is validated truly: right audience accepted with its claims as texts, wrong one refused', async () => {
  const { icp } = await served()
  const { svids } = await icp.unary<{ svids: { svid: string }[] }>('FetchJWTSVID', { audience: ['a'] })
  const svid = svids[0]!.svid
  const { spiffe_id, claims } = await icp.unary<{ spiffe_id: string; claims: Record<string, string> }>(
    'ValidateJWTSVID',
    { svid, audience: 'a' },
  )
  expect(spiffe_id).toBe(web)
  expect(claims['sub']).toBe(web)
  expect(JSON.parse(claims['aud']!)).toEqual(['a'])
  expect(await icp.statusOf('ValidateJWTSVID', { svid, audience: 'b' })).toBe(status.INVALID_ARGUMENT)
  expect(await icp.statusOf('ValidateJWTSVID', { svid: 'rubbish', audience: 'a' })).toBe(status.INVALID_ARGUMENT)
})

for (const [only, other] of [
  ['spiffe', 'icp'],
  ['icp', 'spiffe'],
] as const) {
  test(`an agent that speaks ${only} alone answers ${other} with UNIMPLEMENTED`, async () => {
    const agent = await startAgent({ dialects: [only] })
    const { endpoint } = await agent.workload(web)
    const names = { spiffe: 'standard', icp: 'icp' } as const
    expect((await connect(endpoint, names[only]).x509Svids().next()).svids).toHaveLength(1)
    const foreign = connect(endpoint, names[other])
    for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTSVID', 'FetchJWTBundles', 'ValidateJWTSVID']) {
      expect(await foreign.statusOf(method, {})).toBe(status.UNIMPLEMENTED)
    }
  })
}

for (const dialects of [[], ['grpc']]) {
  test(`the dialects ${JSON.stringify(dialects)} are refused`, async () => {
    await expect(startAgent({ dialects: dialects as 'icp'[] })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
}
