import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { DevAuthority } from '../../src/dev/authority/index.js'
import { verifyX509Svid, X509Svid } from '../../src/svid/index.js'

const authority = await DevAuthority.create({ trustDomain: 'example.org' })
const other = await DevAuthority.create({ trustDomain: 'other.org' })
const svid = await authority.issueX509Svid({ id: 'spiffe://example.org/web', ttlMs: 60_000 })
const chain = svid.certificates.map(({ der }) => der)
const bundles = new X509BundleSet([authority.bundle(), other.bundle()])

test('a minted SVID is proved by the bundle of its own trust domain', () => {
  const verified = verifyX509Svid(chain, bundles)
  expect(verified.id.toString()).toBe('spiffe://example.org/web')
  expect(verified.path).toHaveLength(2)
  expect(verified.path[1]?.equals(authority.bundle().authorities[0]!)).toBe(true)
  expect(verified.expiresAt).toEqual(svid.expiresAt)
})

test('an SVID is not proved without the bundle of its trust domain', () => {
  const others = new X509BundleSet([other.bundle()])
  expect(() => verifyX509Svid(chain, others)).toThrow(expect.objectContaining({ code: 'ERR_BUNDLE_NOT_FOUND' }))
})

test('an SVID past its validity is refused, and valid at its last second', () => {
  expect(verifyX509Svid(chain, bundles, { now: svid.expiresAt }).id.equals(svid.id)).toBe(true)
  const now = new Date(svid.expiresAt.getTime() + 1000)
  expect(() => verifyX509Svid(chain, bundles, { now })).toThrow(
    expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }),
  )
})

test('the private key is printed by nothing', () => {
  const key = svid.privateKeyPem().split('\n')[1]!
  for (const text of [JSON.stringify(svid), inspect(svid, { depth: 9 }), `of ${String(svid)}`]) {
    expect(text).not.toContain(key)
    expect(text).not.toContain('PRIVATE')
  }
  expect(JSON.stringify(svid)).toContain('[redacted]')
})

test('PEM and DER read back to the same SVID', () => {
  const fromPem = X509Svid.parsePem(svid.certificatesPem(), svid.privateKeyPem())
  const fromDer = X509Svid.parse(svid.certificatesDer(), svid.privateKeyDer())
  expect(fromPem.equals(svid)).toBe(true)
  expect(fromDer.equals(svid)).toBe(true)
})
