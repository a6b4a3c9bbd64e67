import { X509Certificate } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { Certificate, CertificateRevocationList } from '../../src/encoding/index.js'
import {
  der,
  derInteger,
  derName,
  derOctets,
  derOid,
  derSequence,
  TestTrustDomain,
} from '../../src/dev/testing/index.js'
import type { TestCertificateOptions, TestKeyType } from '../../src/dev/testing/index.js'

const malformed = expect.objectContaining({ code: 'ERR_CERTIFICATE_MALFORMED' }) as Error
const now = new Date('2026-03-01T12:00:00Z')
const td = new TestTrustDomain('td', { now })
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('a certificate reads like the built-in one', () => {
  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048', 'ed25519'] as TestKeyType[]) {
    test(keyType, () => {
      const minted = td.leaf({ keyType, names: { uris: ['spiffe://td/w', 'https://x'], dnsNames: ['a.test'] } })
      const mine = Certificate.parse(minted.der)
      const native = new X509Certificate(minted.der)
      expect(mine.serialNumber.toUpperCase()).toBe(native.serialNumber)
      expect(mine.notBefore).toEqual(new Date(native.validFrom))
      expect(mine.notAfter).toEqual(new Date(native.validTo))
      expect(mine.publicKey.equals(native.publicKey)).toBe(true)
      expect(mine.extensions.extKeyUsage).toEqual(native.keyUsage)
      expect(mine.fingerprint.toUpperCase()).toBe(native.fingerprint256.replaceAll(':', ''))
      expect(mine.uriSans.map((uri) => Buffer.from(uri).toString())).toEqual(['spiffe://td/w', 'https://x'])
      expect(mine.toPem()).toBe(native.toString())
      expect(mine.isIssuedBy(td.root.certificate)).toBe(native.verify(td.root.keys.publicKey))
    })
  }
})

test('every kind of signature holds with its key, and with no other', () => {
  for (const [keyType, signature] of [
    ['ec-p256', 'default'],
    ['ec-p384', 'sha384'],
    ['ec-p521', 'sha512'],
    ['rsa-2048', 'default'],
    ['rsa-2048', 'sha512'],
    ['rsa-2048', 'pss'],
    ['ed25519', 'default'],
  ] as const) {
    const domain = new TestTrustDomain('td', { now, root: { keyType } })
    const { certificate } = domain.leaf({ signature })
    expect(certificate.isSignedBy(domain.root.certificate)).toBe(true)
    expect(certificate.isSignedBy(td.root.certificate)).toBe(false)
    expect(domain.leaf({ signature: 'sha1' }).certificate.isSignedBy(domain.root.certificate)).toBe(
      keyType === 'ed25519',
    )
  }
})

test('key kinds are told without building a key', () => {
  const kind = (keyType: TestKeyType) => td.leaf({ keyType }).certificate.publicKeyKind
  expect(kind('ec-p384')).toEqual({ type: 'ec', curve: 'P-384' })
  expect(kind('rsa-1024')).toEqual({ type: 'rsa', bits: 1024, exponentIsSound: true })
  expect(kind('rsa-2048')).toEqual({ type: 'rsa', bits: 2048, exponentIsSound: true })
  expect(kind('ed25519')).toEqual({ type: 'ed25519' })
  expect(kind('ec-secp256k1').type).toBe('other')
})

test('a certificate keeps its own copy of the bytes', () => {
  for (const bytes of [Uint8Array.from(td.root.der), Buffer.from(td.root.der)]) {
    const certificate = Certificate.parse(bytes)
    const [concatenated] = Certificate.parseAll(bytes)
    bytes.fill(0)
    expect(Buffer.from(certificate.der).equals(td.root.der)).toBe(true)
    expect(concatenated?.isIssuedBy(certificate)).toBe(true)
  }
})

test('concatenated certificates are split exactly', () => {
  const all = [td.root, td.leaf(), td.leaf()].map((minted) => minted.der)
  expect(Certificate.parseAll(Buffer.concat(all)).map((certificate) => Buffer.from(certificate.der))).toEqual(
    all.map((bytes) => Buffer.from(bytes)),
  )
  expect(Certificate.parseAll(new Uint8Array())).toEqual([])
  for (const rest of [Buffer.alloc(1), hex('3000'), all[0]!.subarray(0, 50), hex('0500')]) {
    expect(() => Certificate.parseAll(Buffer.concat([all[0]!, rest]))).toThrow(malformed)
  }
  expect(() => Certificate.parse(Buffer.concat(all))).toThrow(malformed)
})

test('a certificate prints as a few facts', () => {
  const text = inspect(td.root.certificate, { depth: 9 }) + JSON.stringify(td.root.certificate)
  expect(text).toContain(td.root.certificate.serialNumber)
  expect(text.length).toBeLessThan(700)
})

describe('what is no certificate is refused', () => {
  const extension = (id: string, value: Uint8Array, critical = false): TestCertificateOptions => ({
    extensions: [{ id, value, critical }],
  })
  const plain: TestCertificateOptions = { basicConstraints: null, keyUsage: null, extKeyUsage: null, names: undefined }
  const cases: readonly (readonly [string, TestCertificateOptions])[] = [
    ['version 1', { version: 0 }],
    ['version 4', { version: 3 }],
    ['a negative serial number', { serialNumber: -5n }],
    ['a serial number of 65 octets', { serialNumber: 1n << 515n }],
    ['a known extension twice', extension('2.5.29.19', hex('30 00'))],
    ['an unknown extension twice', { extensions: [1, 2].map(() => ({ id: '1.2.3', value: hex('0500') })) }],
    ['bytes behind basicConstraints', { ...plain, ...extension('2.5.29.19', hex('30 00 00')) }],
    ['basicConstraints that is no sequence', { ...plain, ...extension('2.5.29.19', hex('01 01 ff')) }],
    ['a negative path length', { ...plain, ...extension('2.5.29.19', hex('30 06 01 01 ff 02 01 ff')) }],
    ['keyUsage without a bit', { keyUsage: [] }],
    ['keyUsage that is not minimal', { ...plain, ...extension('2.5.29.15', hex('03 02 00 80')) }],
    ['extKeyUsage without a purpose', { ...plain, ...extension('2.5.29.37', hex('30 00')) }],
    ['no names in subjectAltName', { ...plain, ...extension('2.5.29.17', hex('30 00')) }],
    ['a name of an unknown form', { names: { raw: [der(0x89, hex('00'))] } }],
    ['a URI that is not ASCII', { names: { uris: ['spiffe://t\u00fc/w'] } }],
    ['a URI that is constructed', { names: { raw: [der(0xa6, der(0x16, Buffer.from('x')))] } }],
    ['empty nameConstraints', { ...plain, ...extension('2.5.29.30', hex('30 00')) }],
    ['nameConstraints with an empty list', { ...plain, ...extension('2.5.29.30', hex('30 02 a0 00')) }],
    ['a key identifier that is no octet string', { subjectKeyId: null, ...extension('2.5.29.14', hex('05 00')) }],
    ['half an authority key identifier', { authorityKeyId: null, ...extension('2.5.29.35', hex('30 03 82 01 05')) }],
    ['a subject that is no name', { subject: derSequence(derInteger(1)) }],
    ['a subject with an empty set', { subject: derSequence(der(0x31)) }],
    ['an issuer that is no name', { issuerName: derSequence(derSequence()) }],
    ['bytes that are cut off', { mangleSigned: (tbs) => tbs.subarray(0, tbs.length - 1) }],
  ]
  for (const [what, options] of cases) {
    test(what, () => expect(() => td.leaf(options).certificate).toThrow(malformed))
  }
  test('a signature algorithm that differs inside and outside', () => {
    const bytes = Buffer.from(td.leaf().der)
    const sha256 = derOid('1.2.840.10045.4.3.2')
    const at = bytes.lastIndexOf(sha256)
    expect(bytes.indexOf(sha256)).toBeLessThan(at)
    derOid('1.2.840.10045.4.3.3').copy(bytes, at)
    expect(() => Certificate.parse(bytes)).toThrow(malformed)
  })
  test('more bytes than are read', () => {
    const huge = td.leaf({ extensions: [{ id: '1.2.3', value: derOctets(Buffer.alloc(200_000)) }] })
    expect(() => huge.certificate).toThrow(malformed)
  })
  test('a time that does not exist, or is written in another way', () => {
    const validity = (from: string) => {
      const times = Buffer.concat([
        der(from.length === 13 ? 0x17 : 0x18, Buffer.from(from)),
        der(0x17, Buffer.from('400101000000Z')),
      ])
      return td.leaf({
        mangleSigned: (tbs) => {
          const body = Buffer.from(tbs)
          const at = body.indexOf(hex('30 1e 17 0d'))
          expect(at).toBeGreaterThan(0)
          const inner = Buffer.concat([body.subarray(4, at), derSequence(times), body.subarray(at + 32)])
          return derSequence(inner)
        },
      }).certificate
    }
    expect(validity('260101000000Z').notBefore).toEqual(new Date('2026-01-01T00:00:00Z'))
    expect(validity('500101000000Z').notBefore).toEqual(new Date('1950-01-01T00:00:00Z'))
    expect(validity('20260101000000Z').notBefore).toEqual(new Date('2026-01-01T00:00:00Z'))
    expect(validity('20240229000000Z').notBefore).toEqual(new Date('2024-02-29T00:00:00Z'))
    for (const bad of [
      '260230000000Z',
      '261301000000Z',
      '260101240000Z',
      '260101006000Z',
      '260101000060Z',
      '2601010000+0Z',
      '20230229000000Z',
      '00010101000000Z',
      '202601010000Z',
    ]) {
      expect(() => validity(bad), bad).toThrow(malformed)
    }
  })
})

describe('a revocation list', () => {
  const badCrl = expect.objectContaining({ code: 'ERR_CRL_MALFORMED' }) as Error
  const leaf = td.leaf()
  test('names serial numbers and is signed by its issuer', () => {
    const list = CertificateRevocationList.parse(td.root.issueCrl({ revoked: [leaf.serialNumber, 5n] }))
    expect(list.authorityKeyId).toEqual(td.root.certificate.extensions.subjectKeyId)
    expect([list.size, list.names(leaf.certificate.serialNumber), list.names('05'), list.names('06')]).toEqual([
      2,
      true,
      true,
      false,
    ])
    expect(list.isSignedBy(td.root.certificate)).toBe(true)
    expect(list.isSignedBy(new TestTrustDomain('td').root.certificate)).toBe(false)
    expect(list.unsupported).toBeUndefined()
  })
  test('keeps its own copy of the bytes', () => {
    const bytes = Buffer.from(td.root.issueCrl())
    const list = CertificateRevocationList.parse(bytes)
    bytes.fill(0)
    expect(list.isSignedBy(td.root.certificate)).toBe(true)
  })
  test('may be empty and without an end', () => {
    const list = CertificateRevocationList.parse(td.root.issueCrl({ nextUpdate: null }))
    expect([list.size, list.nextUpdateMs]).toEqual([0, undefined])
  })
  for (const [what, id, value] of [
    ['a delta list', '2.5.29.27', derInteger(1)],
    ['an indirect list', '2.5.29.28', derSequence(der(0x84, hex('ff')))],
    ['an unknown critical extension', '1.2.3.4', hex('0500')],
  ] as const) {
    test(`${what} is read, and told to be unsupported`, () => {
      const crl = td.root.issueCrl({ extensions: [{ id, critical: true, value }] })
      expect(CertificateRevocationList.parse(crl).unsupported).toBeDefined()
    })
  }
  test('an unknown critical extension of an entry makes it unsupported, a reason does not', () => {
    const parse = (id: string, value: Uint8Array) =>
      CertificateRevocationList.parse(
        td.root.issueCrl({ revoked: [1n], entryExtensions: [{ id, critical: true, value }] }),
      )
    expect(parse('2.5.29.29', derSequence(derName('x'))).unsupported).toBeDefined()
    expect(parse('2.5.29.21', hex('0a 01 01')).unsupported).toBeUndefined()
  })
  for (const [what, bytes] of [
    ['nothing', new Uint8Array()],
    ['a certificate', leaf.der],
    ['trailing bytes', Buffer.concat([td.root.issueCrl(), Buffer.alloc(1)])],
    ['a negative serial number', td.root.issueCrl({ revoked: [-1n] })],
  ] as const) {
    test(`${what} is refused`, () => expect(() => CertificateRevocationList.parse(bytes)).toThrow(badCrl))
  }
})
