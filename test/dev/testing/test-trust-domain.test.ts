import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { SpiffeBundle, X509BundleSet } from '../../../src/bundle/index.js'
import { derInteger, derNamedBits, derOid, derTime, TestTrustDomain } from '../../../src/dev/testing/index.js'
import { verifyX509Svid } from '../../../src/svid/index.js'

const now = new Date('2026-03-01T12:00:00Z')
const td = new TestTrustDomain('example.org', { now })

test('a leaf without options is a good SVID, and so is one below an intermediate', () => {
  const bundles = new X509BundleSet([td.bundle()])
  expect(verifyX509Svid([td.leaf().der], bundles, { now }).id.toString()).toBe('spiffe://example.org/w')
  const intermediate = td.intermediate()
  expect(verifyX509Svid([td.leaf({}, intermediate).der, intermediate.der], bundles, { now }).path).toHaveLength(3)
  expect(td.svid({ hint: 'h' }).issuerFaults).toEqual([])
})

test('OpenSSL reads what is minted: names, numbers, signatures', () => {
  const leaf = new X509Certificate(
    td.leaf({ serialNumber: 0xff00n, subject: 'web', names: { dnsNames: ['a.test'] } }).der,
  )
  expect([leaf.serialNumber, leaf.subject, leaf.subjectAltName]).toEqual(['FF00', 'CN=web', 'DNS:a.test'])
  expect(leaf.checkIssued(new X509Certificate(td.root.der))).toBe(true)
  expect(leaf.verify(td.root.keys.publicKey)).toBe(true)
})

test('what is asked to be wrong is wrong', () => {
  const bundles = new X509BundleSet([td.bundle()])
  const expired = td.leaf({ notAfter: new Date(now.getTime() - 1000) })
  expect(() => verifyX509Svid([expired.der], bundles, { now })).toThrow(
    expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }),
  )
  expect(() => td.leaf({ mangleSigned: () => Buffer.from('0500', 'hex') }).certificate).toThrow()
})

test('an SVID below an intermediate has it in its chain', () => {
  const intermediate = td.intermediate()
  const { certificates } = td.svid({}, intermediate)
  expect(certificates.map(({ serialNumber }) => serialNumber)).toHaveLength(2)
  const chain = certificates.map(({ der }) => der)
  expect(verifyX509Svid(chain, new X509BundleSet([td.bundle()]), { now }).path).toHaveLength(3)
})

test('a revocation list names who was revoked, or is wrong as asked', () => {
  const leaf = td.leaf()
  const prove = (crl: Uint8Array) =>
    verifyX509Svid([leaf.der], new X509BundleSet([td.bundle({ crls: [crl] })]), { now })
  const revoked = [leaf.serialNumber]
  expect(() => prove(td.root.issueCrl({ revoked }))).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_REVOKED' }))
  const unsigned = td.root.issueCrl({ revoked, mangleSignature: (bytes) => bytes.map((octet) => octet ^ 1) })
  const malformed = td.root.issueCrl({ revoked, mangleSigned: (tbs) => Buffer.concat([tbs, Buffer.of(0)]) })
  for (const crl of [unsigned, malformed]) {
    expect(td.bundle({ crls: [crl] }).crlFaults(now)).toMatchObject([{ code: 'ERR_CRL_MALFORMED' }])
    expect(prove(crl).id.path).toBe('/w')
  }
})

test('a bundle document is what the bundles are, or wrong as asked', () => {
  const read = (document: string) => SpiffeBundle.parse(td.trustDomain, document)
  const bundle = read(td.bundleDocument({ sequenceNumber: 2n ** 63n, refreshHint: 60 }))
  expect([bundle.x509Bundle.equals(td.bundle()), bundle.jwtBundle.equals(td.jwtBundle())]).toEqual([true, true])
  expect([bundle.sequenceNumber, bundle.refreshHintMs, bundle.skipped]).toEqual([2n ** 63n, 60_000, []])

  const changed = td.bundleDocument({ changeEntry: (entry, index) => (index === 0 ? { ...entry, use: 'sig' } : entry) })
  expect(read(changed).skipped).toEqual(['entry 1 of 2: its use is missing or not known'])
  expect(read(td.bundleDocument({ authorities: [td.leaf()] })).skipped).toHaveLength(1)
  expect(read(td.bundleDocument({ authorities: [], jwtAuthorities: [] })).jwtBundle.authorities).toEqual([])
  for (const members of [{ keys: undefined }, { spiffe_sequence: 1.5 }, { spiffe_sequence: '1' }]) {
    expect(() => read(td.bundleDocument({ members }))).toThrow(
      expect.objectContaining({ code: 'ERR_BUNDLE_MALFORMED' }),
    )
  }
})

test('the writer makes the shortest form of everything', () => {
  const hex = (bytes: Buffer) => bytes.toString('hex')
  expect([0, 127, 128, -1, -128, -129, 256].map((value) => hex(derInteger(value)))).toEqual([
    '020100',
    '02017f',
    '02020080',
    '0201ff',
    '020180',
    '0202ff7f',
    '02020100',
  ])
  expect([hex(derOid('2.5.29.15')), hex(derOid('2.999'))]).toEqual(['0603551d0f', '06028837'])
  expect([hex(derNamedBits([])), hex(derNamedBits([0])), hex(derNamedBits([5, 6]))]).toEqual([
    '030100',
    '03020780',
    '03020106',
  ])
  expect([now, new Date('2050-01-01T00:00:00Z')].map((date) => derTime(date).subarray(2).toString())).toEqual([
    '260301120000Z',
    '20500101000000Z',
  ])
})
