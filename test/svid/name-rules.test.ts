import { describe, expect, test } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { der, derName, derOid, derSequence, TestTrustDomain } from '../../src/dev/testing/index.js'
import type { TestCertificateOptions, TestNames } from '../../src/dev/testing/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'

const now = new Date('2026-03-01T12:00:00Z')
const untrusted = expect.objectContaining({ code: 'ERR_X509_CHAIN_UNTRUSTED' }) as Error
const unsupported = expect.objectContaining({ code: 'ERR_X509_CHAIN_UNSUPPORTED' }) as Error

interface Case {
  permitted?: TestNames
  excluded?: TestNames
  trustDomain?: string
  names?: TestNames
  leaf?: TestCertificateOptions
  intermediate?: TestCertificateOptions
}

function verify({ permitted, excluded, trustDomain = 'a.b.test', names, leaf, intermediate }: Case) {
  const domain = new TestTrustDomain(trustDomain, { now })
  const constraints = { ...(permitted ? { permitted } : {}), ...(excluded ? { excluded } : {}) }
  const signer = domain.intermediate({ nameConstraints: constraints, ...intermediate })
  const minted = domain.leaf({ names: { uris: [`spiffe://${trustDomain}/w`], ...names }, ...leaf }, signer)
  return verifyX509Svid([minted.der, signer.der], new X509BundleSet([domain.bundle()]), { now })
}

const uri = (...uris: string[]) => ({ uris })
const dns = (...dnsNames: string[]) => ({ dnsNames })

describe('URIs', () => {
  for (const [what, input] of [
    ['the host itself', { permitted: uri('a.b.test') }],
    ['the host in another case', { permitted: uri('A.B.Test') }],
    ['labels in front of a domain', { permitted: uri('.b.test') }],
    ['more labels in front of a domain', { permitted: uri('.test') }],
    ['an exclusion of the host above', { excluded: uri('b.test') }],
    ['an exclusion of names below', { excluded: uri('.a.b.test') }],
  ] as const) {
    test(`${what} is met`, () => expect(verify(input).path).toHaveLength(3))
  }
  for (const [what, input] of [
    ['the host above', { permitted: uri('b.test') }],
    ['a host that ends alike', { permitted: uri('.test'), trustDomain: 'atest' }],
    ['an empty permission', { permitted: uri('') }],
    ['an empty exclusion', { excluded: uri('') }],
    ['an excluded domain', { excluded: uri('.b.test') }],
    ['an excluded host with the dot of the root', { excluded: uri('a'), trustDomain: 'a.' }],
    ['an excluded host among permitted ones', { permitted: uri('.test'), excluded: uri('a.b.test') }],
    ['a host that is an address', { excluded: uri('x'), trustDomain: '10.0.0.1' }],
  ] as const) {
    test(`${what} is not met`, () => expect(() => verify(input)).toThrow(untrusted))
  }
})

describe('DNS names', () => {
  for (const [what, input] of [
    ['no DNS name at all', { permitted: dns('x.test') }],
    ['the name itself', { permitted: dns('x.test'), names: dns('x.test') }],
    ['a name below', { permitted: dns('x.test'), names: dns('a.b.X.test') }],
    ['every name', { permitted: dns(''), names: dns('any') }],
    ['a wildcard for a first label', { permitted: dns('x.test'), names: dns('*.x.test') }],
    ['a wildcard beside an exclusion', { excluded: dns('foo.y.test'), names: dns('*.x.test') }],
    [
      'a wildcard within a label, with nothing said of DNS names',
      { permitted: uri('.b.test'), names: dns('f*.x.test') },
    ],
    ['a name below a leading dot', { permitted: dns('.x.test'), names: dns('a.x.test') }],
    ['a name that ends alike beside an exclusion', { excluded: dns('x.test'), names: dns('yx.test') }],
    ['a common name that is no host', { permitted: dns('x.test'), leaf: { subject: 'payments' } }],
    [
      'a common name beside a DNS name',
      { permitted: dns('x.test'), names: dns('x.test'), leaf: { subject: 'evil.test' } },
    ],
  ] as const satisfies readonly (readonly [string, Case])[]) {
    test(`${what} is met`, () => expect(verify(input).path).toHaveLength(3))
  }
  for (const [what, input] of [
    ['another name', { permitted: dns('x.test'), names: dns('y.test') }],
    ['one of several names', { permitted: dns('x.test'), names: dns('x.test', 'y.test') }],
    ['a name that ends alike', { permitted: dns('x.test'), names: dns('yx.test') }],
    ['the name itself under a leading dot', { permitted: dns('.x.test'), names: dns('x.test') }],
    ['an excluded name', { excluded: dns('x.test'), names: dns('x.test') }],
    ['a name below an excluded one', { excluded: dns('x.test'), names: dns('a.x.test') }],
    ['an excluded name with the dot of the root', { excluded: dns('x.test'), names: dns('x.test.') }],
    ['a wildcard over an excluded name', { excluded: dns('a.x.test'), names: dns('*.x.test') }],
    ['a wildcard within a label of an excluded name', { excluded: dns('foo.x.test'), names: dns('f*.x.test') }],
    ['a wildcard at the end of a label', { excluded: dns('foo.x.test'), names: dns('*o.x.test') }],
    ['a wildcard in a later label', { excluded: dns('a.b.x.test'), names: dns('a.*.x.test') }],
    ['a wildcard and nothing else', { excluded: dns('x.test'), names: dns('*') }],
    ['a wildcard within a label beside a permission', { permitted: dns('x.test'), names: dns('f*.x.test') }],
    ['a wildcard within a label of a common name', { excluded: dns('foo.x.test'), leaf: { subject: 'f*.x.test' } }],
    ['an empty exclusion', { excluded: dns(''), names: dns('a') }],
    ['a name that is none', { excluded: dns('x.test'), names: dns('a b') }],
    ['a common name that reads as a host', { permitted: dns('x.test'), leaf: { subject: 'evil.test' } }],
  ] as const satisfies readonly (readonly [string, Case])[]) {
    test(`${what} is not met`, () => expect(() => verify(input)).toThrow(untrusted))
  }
})

describe('other forms', () => {
  const ips = [Buffer.alloc(8)]
  const ip = { ips: [Buffer.from([10, 0, 0, 1])] }
  test('are no matter while no certificate below carries one', () => {
    expect(verify({ excluded: { ips } }).path).toHaveLength(3)
    expect(verify({ excluded: { emails: ['x.test'] } }).path).toHaveLength(3)
    expect(verify({ permitted: { directoryNames: [derName('x')] }, leaf: { subject: '' } }).path).toHaveLength(3)
  })
  const mail = derSequence(der(0x31, derSequence(derOid('1.2.840.113549.1.9.1'), der(0x16, Buffer.from('a@x.test')))))
  const otherName = der(0xa0, derOid('1.3.6.1.5.5.7.8.9'), der(0xa0, der(0x0c, Buffer.from('a@x.test'))))
  for (const [what, input] of [
    ['an address', { excluded: { ips }, names: ip }],
    ['a mail name', { excluded: { emails: ['x.test'] }, names: { emails: ['a@y.test'] } }],
    ['a mail attribute of the subject', { excluded: { emails: ['x.test'] }, leaf: { subject: mail } }],
    ['an international mail name', { excluded: { emails: ['x.test'] }, names: { raw: [otherName] } }],
    ['a subject', { excluded: { directoryNames: [derName('x')] } }],
  ] as const satisfies readonly (readonly [string, Case])[]) {
    test(`${what} is refused where its form is constrained`, () => expect(() => verify(input)).toThrow(unsupported))
  }
  test('a minimum or maximum is refused', () => {
    for (const bound of ['800101', '810100', '810105']) {
      const base = Buffer.concat([der(0x86, Buffer.from('a.b.test')), Buffer.from(bound, 'hex')])
      expect(() => verify({ permitted: { raw: [base] } })).toThrow(unsupported)
    }
    const zero = Buffer.concat([der(0x86, Buffer.from('a.b.test')), Buffer.from('800100', 'hex')])
    expect(verify({ permitted: { raw: [zero] } }).path).toHaveLength(3)
  })
})

test('constraints bind intermediates too, but not self-issued ones', () => {
  const domain = new TestTrustDomain('td', { now, root: { nameConstraints: { permitted: uri('td') } } })
  const bundles = new X509BundleSet([domain.bundle()])
  const chainOf = (options: TestCertificateOptions) => {
    const signer = domain.intermediate(options)
    return [domain.leaf({}, signer).der, signer.der]
  }
  expect(() => verifyX509Svid(chainOf({ names: uri('spiffe://other') }), bundles, { now })).toThrow(untrusted)
  const selfIssued = { names: uri('spiffe://other'), subject: domain.root.name }
  expect(verifyX509Svid(chainOf(selfIssued), bundles, { now }).path).toHaveLength(3)
})

test('more comparisons than are worked through are refused', () => {
  const many = Array.from({ length: 1000 }, (_, at) => `${at}.test`)
  expect(() => verify({ excluded: dns(...many), names: dns(...many.map((name) => `x${name}`)) })).toThrow(unsupported)
})
