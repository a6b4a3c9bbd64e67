import { expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { decodeX509BundleSet } from '../../src/workload-api/decode/x509-bundle-set.js'
import { decodeX509Context } from '../../src/workload-api/decode/x509-context.js'
import { completeLimits } from '../../src/workload-api/limits.js'

const td = new TestTrustDomain('td.test')
const other = new TestTrustDomain('other.test')
const svid = td.svid()

const now = new Date()
const limits = completeLimits()
const federated = new Map([['spiffe://other.test', other.bundle().toDer()]])

function decodeContext(crls: readonly Uint8Array[]) {
  const entry = {
    spiffeId: svid.id.toString(),
    chain: svid.certificatesDer(),
    key: svid.privateKeyDer(),
    keyFormat: 'pkcs8' as const,
    bundle: td.bundle().toDer(),
    hint: '',
  }
  return decodeX509Context({ svids: [entry], crls, federated }, limits, now)
}

function decodeBundles(crls: readonly Uint8Array[]) {
  const bundles = new Map([['spiffe://td.test', td.bundle().toDer()], ...federated])
  return decodeX509BundleSet({ bundles, crls }, limits, now)
}

for (const [what, decode] of [
  ['an X.509 context', decodeContext],
  ['X.509 bundles', decodeBundles],
] as const) {
  test(`a revocation list that cannot be read is told once for ${what}, which are used all the same`, () => {
    const { value, warnings } = decode([new Uint8Array([0x30, 0x00])])
    const bundles = 'bundles' in value ? value.bundles : value
    expect(bundles.size).toBe(2)
    expect(warnings).toEqual([expect.stringContaining('revocation list')])
  })

  test(`a list past its nextUpdate is told for ${what}`, () => {
    expect(decode([td.root.issueCrl({ nextUpdate: new Date(now.getTime() - 1000) })]).warnings).toHaveLength(1)
  })

  test(`good lists, and none, bring no warning for ${what}`, () => {
    expect([...decode([]).warnings, ...decode([td.root.issueCrl(), other.root.issueCrl()]).warnings]).toEqual([])
  })
}

test('a list is not falsely signed because another trust domain has an authority of the same name', () => {
  const namesakes = ['one.test', 'two.test'].map((name) => new TestTrustDomain(name, { root: { subject: 'SPIRE' } }))
  const [one, two] = namesakes
  const bundles = new Map(namesakes.map((domain) => [domain.trustDomain.name, domain.bundle().toDer()]))
  const warningsOf = (...crls: Uint8Array[]) => decodeX509BundleSet({ bundles, crls }, limits, now).warnings
  expect(one!.root.certificate.subject).toEqual(two!.root.certificate.subject)
  expect(warningsOf(one!.root.issueCrl(), two!.root.issueCrl())).toEqual([])
  expect(warningsOf(new TestTrustDomain('x', { root: { subject: 'SPIRE' } }).root.issueCrl())).toHaveLength(1)
})

test('each list is read once for all bundles of a message', () => {
  const [own, foreign] = decodeBundles([td.root.issueCrl(), other.root.issueCrl(), Buffer.from('nothing')]).value
  expect([own!.crls.length, own!.revocationLists.length]).toEqual([3, 2])
  for (const [at, crl] of own!.crls.entries()) expect(foreign!.crls[at]).toBe(crl)
  for (const [at, list] of own!.revocationLists.entries()) expect(foreign!.revocationLists[at]).toBe(list)
})
