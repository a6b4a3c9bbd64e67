import { describe, expect, test } from 'vitest'
import { X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { TestTrustDomain, type TestCertificateOptions } from '../../src/dev/testing/index.js'
import { verifyX509Svid, X509Svid } from '../../src/svid/index.js'
import { bundles, loadOwn, now, other, td, uris, verify, verifyBelow, verifyLeaf, verifyUnder } from './fixtures.js'

const seconds = (count: number) => new Date(now.getTime() + count * 1000)
const coded = (code: string) => expect.objectContaining({ code }) as Error
const noSvid = 'ERR_X509_SVID_MALFORMED'
const untrusted = 'ERR_X509_CHAIN_UNTRUSTED'
const warned = 'accepted, and told to the issuer'

/** For the owner: accepted, accepted with a remark, or a code. For a peer: accepted, or a code. */
const certificates: readonly (readonly [string, string, TestCertificateOptions, string, string])[] = [
  ['F-001', 'the baseline', {}, 'accepted', 'accepted'],
  ['F-002', 'an ID without a path', uris('spiffe://td'), noSvid, noSvid],
  ['F-004', 'no names', { names: undefined }, noSvid, noSvid],
  ['F-005', 'only a DNS name', { names: { dnsNames: ['td'] } }, noSvid, noSvid],
  ['F-007', 'two SPIFFE IDs', uris('spiffe://td/w', 'spiffe://td/x'), noSvid, noSvid],
  ['F-008', 'a SPIFFE ID and an https URI', uris('spiffe://td/w', 'https://td/w'), noSvid, noSvid],
  ['F-010', 'an https URI', uris('https://td/w'), noSvid, noSvid],
  ['F-011', 'another scheme', uris('sparfe://domain1.test/workload'), noSvid, noSvid],
  ['F-013', 'an empty fragment', uris('spiffe://td/w#'), noSvid, noSvid],
  ['F-014', 'a query', uris('spiffe://td/w?x'), noSvid, noSvid],
  ['F-016', 'a port', uris('spiffe://td:1/w'), noSvid, noSvid],
  ['F-017', 'percent-encoding', uris('spiffe://td/%77'), noSvid, noSvid],
  ['F-022', 'an empty subject, names not critical', { subject: '' }, warned, 'accepted'],
  ['F-022', 'an empty subject, names critical', { subject: '', namesCritical: true }, 'accepted', 'accepted'],
  ['F-023', 'no basicConstraints', { basicConstraints: null }, warned, 'accepted'],
  ['F-025', 'cA false, not critical', { basicConstraints: { ca: false, critical: false } }, 'accepted', 'accepted'],
  ['F-026', 'no keyUsage', { keyUsage: null }, noSvid, noSvid],
  ['F-028', 'keyEncipherment only', { keyUsage: ['keyEncipherment'] }, noSvid, noSvid],
  [
    'F-029',
    'the keyUsage of SPIRE',
    { keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'] },
    'accepted',
    'accepted',
  ],
  ['F-031', 'keyCertSign', { keyUsage: ['digitalSignature', 'keyCertSign'] }, noSvid, noSvid],
  ['F-032', 'cRLSign', { keyUsage: ['digitalSignature', 'cRLSign'] }, noSvid, noSvid],
  ['F-034', 'serverAuth only', { extKeyUsage: ['serverAuth'] }, warned, 'accepted'],
  ['F-035', 'clientAuth only', { extKeyUsage: ['clientAuth'] }, warned, 'accepted'],
  ['F-037', 'both purposes, critical', { extKeyUsageCritical: true }, 'accepted', 'accepted'],
  [
    'F-038',
    'an unknown critical extension',
    { extensions: [{ id: '1.2.3.4', critical: true, value: Buffer.alloc(2) }] },
    'accepted',
    'ERR_X509_CHAIN_UNSUPPORTED',
  ],
  ['F-040', 'expired a minute ago', { notAfter: seconds(-60) }, 'accepted', 'ERR_X509_SVID_EXPIRED'],
  ['F-041', 'expired five seconds ago', { notAfter: seconds(-5) }, 'accepted', 'ERR_X509_SVID_EXPIRED'],
]

describe('certificates', () => {
  for (const [id, what, options, own, peer] of certificates) {
    test(`${id} ${what}, own: ${own}`, () => {
      if (own.startsWith('ERR_')) expect(() => loadOwn(td.leaf(options))).toThrow(coded(own))
      else expect(loadOwn(td.leaf(options)).issuerFaults.length > 0).toBe(own === warned)
    })
    test(`${id} ${what}, of a peer: ${peer}`, () => {
      if (peer === 'accepted') expect(verifyLeaf(options).path).toHaveLength(2)
      else expect(() => verifyLeaf(options)).toThrow(coded(peer))
    })
  }
  for (const name of ['a..b', 'a.', '1.2.3.4', '_', '-', '.a']) {
    test(`F-019, F-020 the trust domain ${name} is accepted, own and of a peer`, () => {
      const domain = new TestTrustDomain(name, { now })
      const leaf = domain.leaf()
      expect(loadOwn(leaf).id.trustDomain.name).toBe(name)
      const verified = verifyX509Svid([leaf.der], new X509BundleSet([domain.bundle()]), { now })
      expect(verified.id.trustDomain.name).toBe(name)
    })
  }
  test('F-040, F-041 an own SVID past its validity says so', () => {
    expect(loadOwn(td.leaf({ notAfter: seconds(-5) })).isExpired(now)).toBe(true)
    expect(loadOwn(td.leaf()).isExpired(now)).toBe(false)
    expect(loadOwn(td.leaf()).isExpired(new Date(NaN))).toBe(true)
  })
  test('F-043 the time to verify for is the one that is passed', () => {
    const leaf = td.leaf({ notAfter: seconds(100) })
    const at = (time: Date) => verifyX509Svid([leaf.der], bundles, { now: time })
    expect(at(seconds(100)).expiresAt).toEqual(seconds(100))
    expect(() => at(seconds(101))).toThrow(coded('ERR_X509_SVID_EXPIRED'))
  })
  test('F-044 another CA is unknown', () => {
    expect(() => verify(new TestTrustDomain('td', { now }).leaf())).toThrow(coded(untrusted))
  })
  test('F-046 a leaf of one trust domain that the CA of another signed is refused', () => {
    expect(() => verify(other.leaf(uris('spiffe://td/w')))).toThrow(coded(untrusted))
  })
  test('F-047 an empty bundle trusts nothing', () => {
    const empty = new X509BundleSet([X509Bundle.parse(td.trustDomain, new Uint8Array())])
    expect(() => verifyX509Svid([td.leaf().der], empty, { now })).toThrow(coded(untrusted))
  })
  test('F-049 an empty chain is refused', () => {
    expect(() => verify()).toThrow(coded(noSvid))
    const key = td.leaf().privateKey.export({ type: 'pkcs8', format: 'der' })
    expect(() => X509Svid.parse(new Uint8Array(), key)).toThrow(coded(noSvid))
  })
})

describe('private keys', () => {
  const leaf = td.leaf()
  const rsa = td.leaf({ keyType: 'rsa-2048' })
  const pkcs8 = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
  test('F-050 the key of another certificate is refused', () => {
    const another = td.leaf().privateKey.export({ type: 'pkcs8', format: 'der' })
    expect(() => X509Svid.parse(leaf.der, another)).toThrow(coded('ERR_X509_SVID_KEY_MISMATCH'))
  })
  const encrypted = leaf.privateKey.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: 'x' })
  for (const [what, certificate, key] of [
    ['SEC1', leaf, leaf.privateKey.export({ type: 'sec1', format: 'der' })],
    ['PKCS#1', rsa, rsa.privateKey.export({ type: 'pkcs1', format: 'der' })],
    ['encrypted PKCS#8', leaf, encrypted],
    ['PEM', leaf, Buffer.from(leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }))],
    ['trailing bytes', leaf, Buffer.concat([pkcs8, Buffer.alloc(1)])],
    ['bytes that are no key', leaf, Buffer.from('00112233', 'hex')],
    ['nothing', leaf, new Uint8Array()],
  ] as const) {
    test(`F-052 ${what} where PKCS#8 in DER is due is refused`, () => {
      expect(() => X509Svid.parse(certificate.der, key)).toThrow(coded(noSvid))
    })
  }
  for (const [what, chain] of [
    ['PEM', Buffer.from(leaf.certificate.toPem())],
    ['trailing bytes', Buffer.concat([leaf.der, Buffer.alloc(1)])],
    ['a certificate that is cut off', leaf.der.subarray(0, leaf.der.length - 1)],
  ] as const) {
    test(`F-053 ${what} where DER certificates are due is refused`, () => {
      expect(() => X509Svid.parse(chain, pkcs8)).toThrow(coded(noSvid))
    })
  }
  test('F-055 a PEM text without a certificate or without a key is refused', () => {
    const chainPem = leaf.certificate.toPem()
    const keyPem = leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    expect(X509Svid.parsePem(chainPem + keyPem, chainPem + keyPem).certificates).toHaveLength(1)
    expect(() => X509Svid.parsePem(keyPem, keyPem)).toThrow(coded(noSvid))
    expect(() => X509Svid.parsePem(chainPem, chainPem)).toThrow(coded(noSvid))
  })
})

describe('chains', () => {
  const constrained = (permitted: string) => ({ nameConstraints: { permitted: { uris: [permitted] } } })
  const below = (options: TestCertificateOptions) => () => verifyBelow(options)
  const cases: readonly (readonly [string, string, string, () => unknown])[] = [
    ['F-101', 'an intermediate', 'accepted', below({})],
    ['F-103', 'an intermediate of another trust domain', 'accepted', below({ names: { uris: ['spiffe://other'] } })],
    ['F-104', 'an intermediate whose ID has a path', untrusted, below({ names: { uris: ['spiffe://td/ca'] } })],
    ['F-106', 'an intermediate with cA false', untrusted, below({ basicConstraints: { ca: false } })],
    ['F-107', 'an intermediate without basicConstraints', untrusted, below({ basicConstraints: null })],
    ['F-109', 'an intermediate without keyUsage', untrusted, below({ keyUsage: null })],
    ['F-110', 'keyCertSign and digitalSignature', 'accepted', below({ keyUsage: ['keyCertSign', 'digitalSignature'] })],
    ['F-112', 'an intermediate with pathLen 0', 'accepted', below({ basicConstraints: { ca: true, pathLen: 0 } })],
    ['F-113', 'pathLen 0 above it', untrusted, () => verifyUnder({ basicConstraints: { ca: true, pathLen: 0 } }, 1)],
    ['F-115', 'an expired intermediate', 'ERR_X509_SVID_EXPIRED', below({ notAfter: seconds(-1) })],
    ['F-116', 'an expired root', 'ERR_X509_SVID_EXPIRED', () => verifyUnder({ notAfter: seconds(-1) })],
    ['F-118', 'the root behind it', 'accepted', () => verify(td.leaf(), td.root)],
    ['F-119', 'an unrelated CA behind it', 'accepted', () => verify(td.leaf(), other.root)],
    ['F-121', 'a permitted name', 'accepted', below(constrained('td'))],
    ['F-122', 'a name that is not permitted', untrusted, below(constrained('other'))],
    ['F-124', 'a name where only those below are permitted', untrusted, below(constrained('.td'))],
  ]
  for (const [id, what, expected, run] of cases) {
    test(`${id} ${what}: ${expected}`, () => {
      if (expected === 'accepted') expect(run).not.toThrow()
      else expect(run).toThrow(coded(expected))
    })
  }
})
