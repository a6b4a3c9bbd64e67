import { describe, expect, test } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { TestTrustDomain, type TestCertificate, type TestCrlOptions } from '../../src/dev/testing/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'

const now = new Date('2026-03-01T12:00:00Z')
const later = (seconds: number) => new Date(now.getTime() + seconds * 1000)
const revoked = expect.objectContaining({ code: 'ERR_X509_SVID_REVOKED' }) as Error
const td = new TestTrustDomain('td', { now })
const intermediate = td.intermediate()
const leaf = td.leaf()
const below = td.leaf({}, intermediate)

function verify(crls: readonly Uint8Array[], ...chain: readonly TestCertificate[]) {
  const bundle = td.bundle({ crls })
  return verifyX509Svid(
    chain.map(({ der }) => der),
    new X509BundleSet([bundle]),
    { now },
  )
}
const listing = (options: TestCrlOptions = {}) => td.root.issueCrl({ revoked: [leaf.serialNumber], ...options })

describe('a revocation list takes trust away', () => {
  test('from a leaf', () => {
    expect(() => verify([listing()], leaf)).toThrow(revoked)
    expect(verify([listing()], td.leaf()).path).toHaveLength(2)
  })
  test('from an intermediate, and so from all below it', () => {
    const crl = td.root.issueCrl({ revoked: [intermediate.serialNumber] })
    expect(() => verify([crl], below, intermediate)).toThrow(revoked)
    expect(verify([crl], leaf).path).toHaveLength(2)
  })
  test('from a leaf that an intermediate revoked', () => {
    const crl = intermediate.issueCrl({ revoked: [below.serialNumber] })
    expect(() => verify([crl], below, intermediate)).toThrow(revoked)
  })
  test('from a leaf that an intermediate with the name of an authority revoked', () => {
    const namesake = td.intermediate({ subject: 'root of td' })
    const leafOfNamesake = td.leaf({}, namesake)
    const crl = namesake.issueCrl({ revoked: [leafOfNamesake.serialNumber] })
    expect(namesake.certificate.subject).toEqual(td.root.certificate.subject)
    expect(() => verify([crl], leafOfNamesake, namesake)).toThrow(revoked)
    expect(verify([namesake.issueCrl()], leafOfNamesake, namesake).path).toHaveLength(3)
    expect(td.bundle({ crls: [crl] }).crlFaults(now)).toHaveLength(1)
  })
  test('also when it is one of several', () => {
    expect(() => verify([td.root.issueCrl(), listing(), td.root.issueCrl()], leaf)).toThrow(revoked)
  })
  test('also past its nextUpdate, or before its thisUpdate: what is revoked stays revoked', () => {
    expect(() => verify([listing({ nextUpdate: later(-1) })], leaf)).toThrow(revoked)
    expect(() => verify([listing({ thisUpdate: later(60) })], leaf)).toThrow(revoked)
  })
  test('also when a newer key of the authority signed it', () => {
    const renewed = new TestTrustDomain('td', { now })
    const bundle = td.bundle({
      authorities: [td.root, renewed.root],
      crls: [renewed.root.issueCrl({ revoked: [leaf.serialNumber] })],
    })
    expect(() => verifyX509Svid([leaf.der], new X509BundleSet([bundle]), { now })).toThrow(revoked)
  })
  test('but not by a serial number of another issuer', () => {
    expect(verify([intermediate.issueCrl({ revoked: [leaf.serialNumber] })], leaf).path).toHaveLength(2)
  })
})

describe('a revocation list that cannot be used revokes nothing, takes nothing down, and is reported', () => {
  const stranger = new TestTrustDomain('td', { now })
  const noCrlSign = new TestTrustDomain('td', { now, root: { keyUsage: ['keyCertSign'] } })
  for (const [what, crl] of [
    ['bytes that are none', Buffer.from('nothing')],
    ['no bytes', new Uint8Array()],
    ['one that a stranger of the same name signed', stranger.root.issueCrl({ revoked: [leaf.serialNumber] })],
    ['one with a broken signature', listing({ mangleSignature: (bytes) => bytes.map((octet) => octet ^ 1) })],
    ['one signed with SHA-1', listing({ signature: 'sha1' })],
    [
      'one with an unknown critical extension',
      listing({ extensions: [{ id: '1.2.3', critical: true, value: Buffer.from([5, 0]) }] }),
    ],
  ] as const) {
    test(what, () => {
      expect(verify([crl], leaf).path).toHaveLength(2)
      const faults = td.bundle({ crls: [crl] }).crlFaults(now)
      expect(faults.map(({ code }) => code)).toEqual(['ERR_CRL_MALFORMED'])
    })
  }
  test('one of an authority without cRLSign', () => {
    const own = noCrlSign.leaf()
    const bundle = noCrlSign.bundle({ crls: [noCrlSign.root.issueCrl({ revoked: [own.serialNumber] })] })
    expect(verifyX509Svid([own.der], new X509BundleSet([bundle]), { now }).path).toHaveLength(2)
    expect(bundle.crlFaults(now)).toHaveLength(1)
  })
  test('a good list beside a malformed one still counts', () => {
    expect(() => verify([Buffer.from('nothing'), listing()], leaf)).toThrow(revoked)
  })
  test('a good list is no fault; a stale one is, from the moment it is stale', () => {
    const bundle = td.bundle({ crls: [listing({ nextUpdate: later(10) })] })
    expect([bundle.crlFaults(later(10)).length, bundle.crlFaults(later(11)).length]).toEqual([0, 1])
  })
})
