import { afterEach, describe, expect, test, vi } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { Certificate } from '../../src/encoding/index.js'
import {
  makeTestKeys,
  TestCertificate,
  TestTrustDomain,
  type TestCertificateOptions,
} from '../../src/dev/testing/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'

const now = new Date('2026-03-01T12:00:00Z')
const later = (seconds: number) => new Date(now.getTime() + seconds * 1000)
const td = new TestTrustDomain('td', { now })
const coded = (code: string) => expect.objectContaining({ code }) as Error
const untrusted = coded('ERR_X509_CHAIN_UNTRUSTED')

function verify(chain: readonly TestCertificate[], authorities: readonly TestCertificate[] = [td.root]) {
  const bundles = new X509BundleSet([td.bundle({ authorities })])
  return verifyX509Svid(
    chain.map(({ der }) => der),
    bundles,
    { now },
  )
}

/** Intermediates below the root, the one below the root last. */
function ladder(count: number, options: TestCertificateOptions = {}): TestCertificate[] {
  const chain: TestCertificate[] = []
  for (let i = 0; i < count; i++) chain.unshift(td.intermediate(options, chain[0] ?? td.root))
  return chain
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a path is found', () => {
  const intermediates = ladder(3)
  const leaf = td.leaf({}, intermediates[0])
  test('whatever the order of the intermediates', () => {
    for (let turn = 0; turn < 3; turn++) {
      const rest = [...intermediates.slice(turn), ...intermediates.slice(0, turn)]
      expect(verify([leaf, ...rest]).path).toHaveLength(5)
    }
  })
  test('with the shortest way to an authority, when an intermediate is one', () => {
    const verified = verify([leaf, ...intermediates], [td.root, intermediates[0]!])
    expect(verified.path).toHaveLength(2)
  })
  test('past decoys: an expired twin, a stranger of the same name, a cross-signed one', () => {
    const keys = makeTestKeys()
    const signer = td.intermediate({ subject: 'signer', keys })
    const expired = td.intermediate({ subject: 'signer', keys, notAfter: later(-1) })
    const stranger = new TestTrustDomain('td', { now }).intermediate({ subject: 'signer' })
    const crossSigned = new TestTrustDomain('other', { now }).intermediate({ subject: 'signer', keys })
    const chain = [td.leaf({}, signer), expired, stranger, crossSigned, signer]
    expect(verify(chain).path[1]?.equals(signer.certificate)).toBe(true)
  })
  test('to the valid one of two authorities of the same name and key', () => {
    const keys = makeTestKeys()
    const [old, young] = [later(-1), later(60)].map((notAfter) =>
      TestCertificate.selfSigned({
        now,
        keys,
        subject: 'root',
        notAfter,
        basicConstraints: { ca: true },
        keyUsage: ['keyCertSign'],
      }),
    )
    const verified = verify([td.leaf({}, old)], [old!, young!])
    expect(verified.path[1]?.equals(young!.certificate)).toBe(true)
    expect(verified.expiresAt).toEqual(later(60))
  })
  test('of at most ten certificates', () => {
    const chain = (count: number) => {
      const rungs = ladder(count)
      return [td.leaf({}, rungs[0]), ...rungs]
    }
    expect(verify(chain(8)).path).toHaveLength(10)
    expect(() => verify(chain(9))).toThrow(untrusted)
  })
  test('and it expires with the first certificate on it', () => {
    const short = td.intermediate({ notAfter: later(30) })
    expect(verify([td.leaf({}, short), short]).expiresAt).toEqual(later(30))
  })
})

describe('a path is not made up', () => {
  test('by names alone: a known expired intermediate beside a fake one of the same name', () => {
    const known = td.intermediate({ subject: 'signer', notAfter: later(-1) })
    const evil = new TestTrustDomain('evil', { now })
    const fake = evil.intermediate({ subject: 'signer', subjectKeyId: null })
    const leaf = td.leaf({ authorityKeyId: null }, fake)
    expect(() => verify([leaf, known, fake])).toThrow(untrusted)
    const bundles = new X509BundleSet([td.bundle(), evil.bundle()])
    expect(() => verifyX509Svid([leaf.der, known.der, fake.der], bundles, { now })).toThrow(untrusted)
  })
  test('by a certificate that the peer calls a root', () => {
    const evil = new TestTrustDomain('td', { now })
    expect(() => verify([evil.leaf(), evil.root])).toThrow(untrusted)
  })
  test('by a leaf as an issuer', () => {
    const leaf = td.leaf()
    expect(() => verify([td.leaf({}, leaf), leaf])).toThrow(untrusted)
  })
  test('by a leaf that issued itself', () => {
    const self = TestCertificate.selfSigned({
      now,
      basicConstraints: { ca: false },
      keyUsage: ['digitalSignature'],
      names: { uris: ['spiffe://td/w'] },
    })
    expect(() => verify([self, self])).toThrow(untrusted)
  })
  test('by certificates that issued each other', () => {
    const [a, b] = [makeTestKeys(), makeTestKeys()]
    const one = td.intermediate({ subject: 'a', keys: a })
    const two = td.intermediate({ subject: 'b', keys: b }, one)
    const oneAgain = td.intermediate({ subject: 'a', keys: a }, two)
    expect(() => verify([td.leaf({}, oneAgain), oneAgain, two])).toThrow(untrusted)
  })
  test('by a leaf that has the name of its issuer, unless key identifiers tell them apart', () => {
    const subject = td.root.name
    expect(() => verify([td.leaf({ subject, authorityKeyId: null })])).toThrow(untrusted)
    expect(verify([td.leaf({ subject })]).path).toHaveLength(2)
  })
  test('by an intermediate that has the name of its issuer, unless key identifiers tell them apart', () => {
    const subject = td.root.name
    const rollover = td.intermediate({ subject })
    expect(verify([td.leaf({}, rollover), rollover]).path).toHaveLength(3)
    const unclear = td.intermediate({ subject, authorityKeyId: null })
    expect(() => verify([td.leaf({}, unclear), unclear])).toThrow(untrusted)
  })
  test('by a weak key', () => {
    const weak = td.intermediate({ keyType: 'rsa-1024' })
    expect(() => verify([td.leaf({}, weak), weak])).toThrow(untrusted)
    expect(() => verify([td.leaf({ keyType: 'rsa-1024' })])).toThrow(coded('ERR_X509_SVID_MALFORMED'))
    expect(() => verify([td.leaf({ keyType: 'ec-secp256k1' })])).toThrow(coded('ERR_X509_SVID_MALFORMED'))
  })
})

describe('the work is counted', () => {
  test('a maze of certificates that all fit each other by name is refused after few signatures', () => {
    // Every certificate has the same name and key, so each fits below each other, and none below the root.
    const keys = makeTestKeys()
    const evil = new TestTrustDomain('evil', { now, root: { subject: 'same', keys } })
    const maze = Array.from({ length: 30 }, () => evil.intermediate({ subject: 'same', keys }))
    const isSignedBy = vi.spyOn(Certificate.prototype, 'isSignedBy')
    expect(() => verify([td.leaf({}, maze[0]), ...maze])).toThrow(untrusted)
    expect(isSignedBy.mock.calls.length).toBeLessThanOrEqual(8 + 2 * 31)
  })
  test('the candidates that are looked at grow with the number of certificates, not with the number of ways', () => {
    const work = (count: number) => {
      const keys = makeTestKeys()
      const evil = new TestTrustDomain('evil', { now, root: { subject: 'same', keys } })
      const maze = Array.from({ length: count }, () => evil.intermediate({ subject: 'same', keys }))
      const names = vi.spyOn(Certificate.prototype, 'namesAsIssuer')
      expect(() => verify([td.leaf({}, maze[0]), ...maze])).toThrow(untrusted)
      const { length } = names.mock.calls
      names.mockRestore()
      return length
    }
    // One more: the leaf is compared with itself.
    for (const count of [7, 14, 28]) expect(work(count)).toBeLessThanOrEqual(32 + 8 * (count + 1) + 1)
  })
  test('a bundle with many authorities of one name still finds the right one', () => {
    const roots = Array.from({ length: 40 }, () =>
      TestCertificate.selfSigned({
        now,
        subject: 'same',
        basicConstraints: { ca: true },
        keyUsage: ['keyCertSign'],
        subjectKeyId: null,
      }),
    )
    const leaf = td.leaf({ authorityKeyId: null }, roots[39])
    expect(verify([leaf], roots).path[1]?.equals(roots[39]!.certificate)).toBe(true)
  })
})
