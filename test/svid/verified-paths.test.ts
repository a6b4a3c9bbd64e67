import { afterEach, beforeEach, expect, test, vi, type MockInstance } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { Certificate } from '../../src/encoding/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'
import { VerifiedPaths } from '../../src/svid/verified-paths.js'

const now = new Date('2026-03-01T12:00:00Z')
const later = (seconds: number) => new Date(now.getTime() + seconds * 1000)
const coded = (code: string) => expect.objectContaining({ code }) as Error
let signatures: MockInstance

beforeEach(() => {
  signatures = vi.spyOn(Certificate.prototype, 'isSignedBy')
})
afterEach(() => {
  vi.restoreAllMocks()
})

function setUp() {
  const td = new TestTrustDomain('td', { now })
  const intermediate = td.intermediate({ notBefore: later(-30), notAfter: later(50) })
  const leaf = td.leaf({ notBefore: later(-20), notAfter: later(100) }, intermediate)
  return { td, intermediate, leaf, chain: [leaf.der, intermediate.der], bundles: new X509BundleSet([td.bundle()]) }
}

test('the same chain is proved once', () => {
  const { chain, bundles } = setUp()
  const first = verifyX509Svid(chain, bundles, { now })
  expect(signatures).toHaveBeenCalledTimes(2)
  expect(
    verifyX509Svid(
      [...chain].map((der) => Uint8Array.from(der)),
      bundles,
      { now: later(10) },
    ),
  ).toBe(first)
  expect(signatures).toHaveBeenCalledTimes(2)
})

test('a remembered proof does not outlive the first certificate on its path', () => {
  const { chain, bundles } = setUp()
  verifyX509Svid(chain, bundles, { now })
  expect(verifyX509Svid(chain, bundles, { now: later(50) }).expiresAt).toEqual(later(50))
  expect(() => verifyX509Svid(chain, bundles, { now: later(51) })).toThrow(coded('ERR_X509_SVID_EXPIRED'))
})

test('a remembered proof does not answer for a time before it', () => {
  const { chain, bundles } = setUp()
  verifyX509Svid(chain, bundles, { now })
  expect(verifyX509Svid(chain, bundles, { now: later(-20) })).toBeDefined()
  expect(() => verifyX509Svid(chain, bundles, { now: later(-21) })).toThrow(coded('ERR_X509_SVID_NOT_YET_VALID'))
})

test('a leaf without the chain that proved it is not proved', () => {
  const { chain, bundles, leaf, td } = setUp()
  verifyX509Svid(chain, bundles, { now })
  expect(() => verifyX509Svid([leaf.der], bundles, { now })).toThrow(coded('ERR_X509_CHAIN_UNTRUSTED'))
  const other = td.intermediate()
  expect(() => verifyX509Svid([leaf.der, other.der], bundles, { now })).toThrow(coded('ERR_X509_CHAIN_UNTRUSTED'))
})

test('a changed byte is a changed chain, even where the signature at the end is the same', () => {
  const { chain, bundles } = setUp()
  verifyX509Svid(chain, bundles, { now })
  const text = Buffer.from(chain[0]!).toString('latin1')
  const forged = Buffer.from(text.replace('spiffe://td/w', 'spiffe://td/x'), 'latin1')
  expect(forged.subarray(-40)).toEqual(Buffer.from(chain[0]!).subarray(-40))
  expect(() => verifyX509Svid([forged, chain[1]!], bundles, { now })).toThrow(coded('ERR_X509_CHAIN_UNTRUSTED'))
  const moved = Buffer.from(text.replace('spiffe://td/w', 'spiffe://tx/w'), 'latin1')
  expect(() => verifyX509Svid([moved, chain[1]!], bundles, { now })).toThrow(coded('ERR_BUNDLE_NOT_FOUND'))
})

test('another bundle of the same trust domain is another question', () => {
  const { chain, bundles, td } = setUp()
  const first = verifyX509Svid(chain, bundles, { now })
  expect(verifyX509Svid(chain, new X509BundleSet([td.bundle()]), { now })).not.toBe(first)
  const replaced = new X509BundleSet([new TestTrustDomain('td', { now }).bundle()])
  expect(() => verifyX509Svid(chain, replaced, { now })).toThrow(coded('ERR_X509_CHAIN_UNTRUSTED'))
  expect(() => verifyX509Svid(chain, new X509BundleSet([]), { now })).toThrow(coded('ERR_BUNDLE_NOT_FOUND'))
})

test('a bundle that gains a revocation list is another bundle', () => {
  const { chain, bundles, td, intermediate } = setUp()
  verifyX509Svid(chain, bundles, { now })
  const crl = td.root.issueCrl({ revoked: [intermediate.serialNumber] })
  const revoking = new X509BundleSet([td.bundle({ crls: [crl] })])
  expect(() => verifyX509Svid(chain, revoking, { now })).toThrow(coded('ERR_X509_SVID_REVOKED'))
})

test('a source that answers with a foreign bundle gets nothing from what is remembered', () => {
  const { chain, bundles } = setUp()
  verifyX509Svid(chain, bundles, { now })
  const foreign = new TestTrustDomain('other', { now }).bundle()
  expect(() => verifyX509Svid(chain, { getX509Bundle: () => foreign }, { now })).toThrow(coded('ERR_BUNDLE_NOT_FOUND'))
})

test('another purpose is another question', () => {
  const td = new TestTrustDomain('td', { now })
  const chain = [td.leaf({ extKeyUsage: ['clientAuth'] }).der]
  const bundles = new X509BundleSet([td.bundle()])
  verifyX509Svid(chain, bundles, { now })
  verifyX509Svid(chain, bundles, { now, purpose: 'clientAuth' })
  for (let again = 0; again < 2; again++) {
    expect(() => verifyX509Svid(chain, bundles, { now, purpose: 'serverAuth' })).toThrow(
      coded('ERR_X509_CHAIN_UNTRUSTED'),
    )
  }
})

test('writing to the buffers of the peer changes nothing that is remembered', () => {
  const { chain, bundles } = setUp()
  const sent = chain.map((der) => Buffer.from(der))
  const first = verifyX509Svid(sent, bundles, { now })
  for (const der of sent) der.fill(0)
  first.leaf.der.fill(0)
  expect(verifyX509Svid(chain, bundles, { now })).toBe(first)
  expect(() => verifyX509Svid(sent, bundles, { now })).toThrow(coded('ERR_X509_SVID_MALFORMED'))
})

test('refusals are not remembered', () => {
  const { chain, td, intermediate } = setUp()
  const anchored = { authorities: [intermediate] }
  const later = new X509BundleSet([td.bundle(anchored)])
  expect(() => verifyX509Svid([chain[0]!], new X509BundleSet([td.bundle()]), { now })).toThrow()
  expect(verifyX509Svid([chain[0]!], later, { now }).path).toHaveLength(2)
})

test('what is remembered is bounded: the oldest proof makes room', () => {
  const td = new TestTrustDomain('td', { now })
  const bundles = new X509BundleSet([td.bundle()])
  const keys = td.root.keys
  const chains = Array.from({ length: 1001 }, () => [td.leaf({ keys }).der])
  const first = verifyX509Svid(chains[0]!, bundles, { now })
  expect(verifyX509Svid(chains[0]!, bundles, { now })).toBe(first)
  for (const chain of chains) verifyX509Svid(chain, bundles, { now })
  expect(verifyX509Svid(chains[0]!, bundles, { now })).not.toBe(first)
})

for (const [kilobytes, remembered] of [
  [15, true],
  [17, false],
] as const)
  test(`a chain of ${kilobytes} kB is ${remembered ? 'remembered' : 'proved each time'}`, () => {
    const { td, bundles, chain } = setUp()
    const long = [...chain, td.intermediate({ subject: 'x'.repeat(kilobytes * 1024 - 1_600) }).der]
    const bytes = long.reduce((sum, { length }) => sum + length, 0)
    expect([bytes > (kilobytes - 1) * 1024, bytes < (kilobytes + 1) * 1024]).toEqual([true, true])
    const first = verifyX509Svid(long, bundles, { now })
    expect(verifyX509Svid(long, bundles, { now }) === first).toBe(remembered)
    expect(signatures).toHaveBeenCalledTimes(remembered ? 2 : 4)
  })

test('a peer that rotates for ever leaves nothing behind once its certificates have run out', () => {
  const td = new TestTrustDomain('td', { now })
  const [bundle, { keys }] = [td.bundle(), td.root]
  const paths = new VerifiedPaths()
  for (let second = 0; second < 300; second++) {
    const leaf = td.leaf({ keys, notBefore: later(second), notAfter: later(second + 20) })
    const proof = verifyX509Svid([leaf.der], new X509BundleSet([bundle]), { now: later(second) })
    paths.keep([leaf.der], bundle, undefined, proof, later(second).getTime())
  }
  expect(paths.size).toBe(21)
})
