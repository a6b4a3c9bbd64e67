import { describe, expect, test } from 'vitest'
import { X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'

const malformed = expect.objectContaining({ code: 'ERR_BUNDLE_MALFORMED' }) as Error
const td = new TestTrustDomain('td')
const two = new TestTrustDomain('td')
const { trustDomain } = td
const both = X509Bundle.fromAuthorities(trustDomain, [td.root.certificate, two.root.certificate])

describe('X509Bundle', () => {
  test('reads what it writes, in DER and in PEM', () => {
    expect(X509Bundle.parse(trustDomain, both.toDer()).equals(both)).toBe(true)
    expect(X509Bundle.parsePem(trustDomain, both.toPem()).equals(both)).toBe(true)
    expect(both.authorities).toHaveLength(2)
  })
  test('holds each authority once', () => {
    const repeated = Buffer.concat([both.toDer(), both.toDer()])
    expect(X509Bundle.parse(trustDomain, repeated).authorities).toHaveLength(2)
  })
  test('of no bytes is empty', () => {
    expect(X509Bundle.parse(trustDomain, new Uint8Array()).authorities).toEqual([])
  })
  test('equals another whatever the order, not with fewer authorities, other lists or another name', () => {
    const turned = X509Bundle.fromAuthorities(trustDomain, [...both.authorities].reverse())
    expect(both.equals(turned)).toBe(true)
    expect(both.equals(td.bundle())).toBe(false)
    expect(both.equals(X509Bundle.parse(TrustDomain.parse('other'), both.toDer()))).toBe(false)
    const crls = [td.root.issueCrl(), td.root.issueCrl({ number: 2 })]
    const listed = (lists: readonly Uint8Array[]) => X509Bundle.fromAuthorities(trustDomain, both.authorities, lists)
    expect(listed(crls).equals(listed([...crls].reverse()))).toBe(true)
    expect(listed(crls).equals(listed([crls[0]!, crls[0]!]))).toBe(false)
    expect(listed(crls).equals(both)).toBe(false)
  })
  test('keeps its own copy of revocation lists', () => {
    const crl = Buffer.from(td.root.issueCrl())
    const bundle = td.bundle({ crls: [crl] })
    const same = td.bundle({ crls: [Buffer.from(crl)] })
    crl.fill(0)
    expect(bundle.equals(same)).toBe(true)
  })
  test('cannot be changed', () => {
    expect([Object.isFrozen(both), Object.isFrozen(both.authorities), Object.isFrozen(both.crls)]).toEqual([
      true,
      true,
      true,
    ])
  })
  for (const [what, bytes] of [
    ['bytes that are no certificate', Buffer.from('nothing')],
    ['trailing bytes', Buffer.concat([td.root.der, Buffer.alloc(1)])],
    ['PEM where DER is due', Buffer.from(td.bundle().toPem())],
    ['a leaf', td.leaf().der],
    ['a CA without keyCertSign', td.intermediate({ keyUsage: ['digitalSignature'] }).der],
    ['a CA with a weak key', td.intermediate({ keyType: 'rsa-1024' }).der],
    ['a CA whose ID has a path', td.intermediate({ names: { uris: ['spiffe://td/x'] } }).der],
  ] as const) {
    test(`refuses ${what}`, () => expect(() => X509Bundle.parse(trustDomain, bytes)).toThrow(malformed))
  }
  test('refuses a PEM text without a certificate, or with a broken one', () => {
    expect(() => X509Bundle.parsePem(trustDomain, 'nothing')).toThrow(malformed)
    expect(() => X509Bundle.parsePem(trustDomain, both.toPem().replace('MII', 'MI*'))).toThrow(malformed)
  })
})

describe('X509BundleSet', () => {
  const other = new TestTrustDomain('other')
  test('answers for exactly the trust domain that is asked for', () => {
    const set = new X509BundleSet([both, other.bundle()])
    expect(set.getX509Bundle(TrustDomain.parse('td'))).toBe(both)
    expect(set.getX509Bundle(TrustDomain.parse('td.'))).toBeUndefined()
    expect(set.getX509Bundle(TrustDomain.parse('__proto__'))).toBeUndefined()
    expect([...set].map((bundle) => bundle.trustDomain.name)).toEqual(['td', 'other'])
    expect(set.size).toBe(2)
  })
  test('takes one bundle for each trust domain', () => {
    expect(() => new X509BundleSet([td.bundle(), two.bundle()])).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
  })
  test('equals another by its bundles, not by their order', () => {
    const set = new X509BundleSet([both, other.bundle()])
    expect(set.equals(new X509BundleSet([other.bundle(), both]))).toBe(true)
    expect(set.equals(new X509BundleSet([both]))).toBe(false)
    expect(set.equals(new X509BundleSet([td.bundle(), other.bundle()]))).toBe(false)
  })
  test('reuses the objects of an earlier one that say the same, and no others', () => {
    const lists = [td.root.issueCrl()]
    const listed = (of: TestTrustDomain) => of.bundle({ crls: lists })
    const earlier = new X509BundleSet([listed(td), listed(other)])
    expect(new X509BundleSet([listed(other), listed(td)]).reusing(earlier)).toBe(earlier)
    const third = new TestTrustDomain('third')
    const changed = X509Bundle.fromAuthorities(trustDomain, both.authorities, lists)
    const mixed = new X509BundleSet([changed, listed(other), listed(third)]).reusing(earlier)
    expect(mixed.getX509Bundle(other.trustDomain)).toBe(earlier.getX509Bundle(other.trustDomain))
    expect(mixed.getX509Bundle(trustDomain)?.equals(changed)).toBe(true)
    expect(new Set([...earlier, ...mixed].map(({ crls }) => crls[0])).size).toBe(2)
    const unlisted = new X509BundleSet([td.bundle()])
    expect(unlisted.reusing(earlier)).toEqual(unlisted)
    expect(unlisted.reusing(new X509BundleSet([]))).toBe(unlisted)
  })
})
