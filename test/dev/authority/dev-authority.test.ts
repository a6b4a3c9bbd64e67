import { X509Certificate } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { X509BundleSet } from '../../../src/bundle/index.js'
import { CertificateRevocationList, keyUsageBit, oid } from '../../../src/encoding/index.js'
import { DevAuthority } from '../../../src/dev/authority/index.js'
import { verifyX509Svid } from '../../../src/svid/index.js'

const now = new Date('2026-03-01T12:00:00Z')
const authority = await DevAuthority.create({ trustDomain: 'example.org', now })
const [root] = authority.bundle().authorities
const svid = await authority.issueX509Svid({
  id: 'spiffe://example.org/ns/prod/web',
  ttlMs: 60_000,
  now,
  dnsNames: ['web'],
})

describe('the authority', () => {
  test('is a CA of its trust domain: ID-26, ID-27, X509-06, X509-07, X509-08, X509-15, X509-16, X509-18, X509-26', () => {
    const { extensions, uriSans } = root!
    expect(uriSans.map((uri) => Buffer.from(uri).toString())).toEqual(['spiffe://example.org'])
    expect(extensions.isCa).toBe(true)
    expect(extensions.keyUsage).toBe(keyUsageBit.keyCertSign | keyUsageBit.crlSign)
    expect(extensions.critical).toEqual(expect.arrayContaining([oid.basicConstraints, oid.keyUsage]))
    expect(extensions.extKeyUsage).toBeUndefined()
    expect(root!.isIssuedBy(root!)).toBe(true)
  })
  test('of another trust domain has another name and key', async () => {
    const again = await DevAuthority.create({ trustDomain: 'example.org', now })
    expect(Buffer.from(again.bundle().authorities[0]!.subject).equals(root!.subject)).toBe(false)
    const others = new X509BundleSet([again.bundle()])
    expect(() => verifyX509Svid([svid.leaf.der], others, { now })).toThrow(
      expect.objectContaining({ code: 'ERR_X509_CHAIN_UNTRUSTED' }),
    )
  })
  test('shows its key to nothing that prints', () => {
    expect(inspect(authority, { depth: 20 }) + JSON.stringify(authority)).not.toMatch(/PRIVATE|CryptoKey|"d"/)
  })
})

describe('an issued SVID', () => {
  test('is as the standard wants it: X509-05, X509-11, X509-15, X509-16, X509-19, X509-22, X509-24, X509-26', () => {
    expect(svid.issuerFaults).toEqual([])
    const { extensions } = svid.leaf
    expect([extensions.isCa, extensions.hasBasicConstraints]).toEqual([false, true])
    expect(extensions.keyUsage).toBe(keyUsageBit.digitalSignature)
    expect(extensions.critical).toEqual(expect.arrayContaining([oid.basicConstraints, oid.keyUsage]))
    expect(extensions.extKeyUsage).toEqual([oid.serverAuth, oid.clientAuth])
    expect(new X509Certificate(svid.leaf.der).subjectAltName).toContain('DNS:web')
  })
  test('is proved by the bundle, from ten seconds before it was issued to the end of its validity', () => {
    const bundles = new X509BundleSet([authority.bundle()])
    for (const at of [-10_000, 0, 60_000]) {
      const verified = verifyX509Svid([svid.leaf.der], bundles, { now: new Date(now.getTime() + at) })
      expect(verified.id.toString()).toBe('spiffe://example.org/ns/prod/web')
    }
    expect(svid.expiresAt).toEqual(new Date(now.getTime() + 60_000))
  })
  test('has a key and serial number of its own', async () => {
    const next = await authority.issueX509Svid({ id: 'spiffe://example.org/ns/prod/web', now })
    expect(next.serialNumber).not.toBe(svid.serialNumber)
    expect(next.privateKey.equals(svid.privateKey)).toBe(false)
  })
  test('may have the longest ID there is', async () => {
    const id = `spiffe://example.org/${'a'.repeat(2048 - 'spiffe://example.org/'.length)}`
    expect((await authority.issueX509Svid({ id, now })).id.toString()).toBe(id)
  })
  for (const id of ['spiffe://example.org', 'spiffe://other.org/web', 'web', 'spiffe://example.org/a b']) {
    test(`is not issued for ${id}`, async () => {
      await expect(authority.issueX509Svid({ id, now })).rejects.toEqual(
        expect.objectContaining({ code: 'ERR_SPIFFE_ID_INVALID' }),
      )
    })
  }
})

describe('revoke()', () => {
  const issue = (from: DevAuthority) => from.issueX509Svid({ id: 'spiffe://example.org/web', now })

  test('has the bundle refuse that certificate and no other', async () => {
    const revoking = await DevAuthority.create({ trustDomain: 'example.org', now })
    const [bad, good] = [await issue(revoking), await issue(revoking)]
    expect(revoking.bundle().crls).toEqual([])
    await revoking.revoke(bad.leaf, { now })
    const bundle = revoking.bundle()
    expect(bundle.crlFaults(now)).toEqual([])
    const verify = (chain: Uint8Array) => verifyX509Svid([chain], new X509BundleSet([bundle]), { now })
    expect(() => verify(bad.leaf.der)).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_REVOKED' }))
    expect(verify(good.leaf.der).id.toString()).toBe('spiffe://example.org/web')
  })

  test('adds to one list, whoever asks at the same time, and a second time changes nothing', async () => {
    const revoking = await DevAuthority.create({ trustDomain: 'example.org', now })
    const svids = await Promise.all(Array.from({ length: 130 }, () => issue(revoking)))
    await Promise.all(svids.map(({ leaf }) => revoking.revoke(leaf, { now })))
    const { crls } = revoking.bundle()
    expect(crls).toHaveLength(1)
    const list = CertificateRevocationList.parse(crls[0]!)
    expect(svids.filter(({ serialNumber }) => !list.names(serialNumber))).toEqual([])
    expect([list.size, list.unsupported]).toEqual([130, undefined])
    await revoking.revoke(svids[0]!.leaf, { now })
    expect(revoking.bundle().crls).toEqual(crls)
  })

  test('is refused for a certificate of somebody else', async () => {
    const other = await DevAuthority.create({ trustDomain: 'example.org', now })
    await expect(other.revoke(svid.leaf)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(other.bundle().crls).toEqual([])
  })
})
