import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { X509BundleSet } from '../../../src/bundle/index.js'
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
