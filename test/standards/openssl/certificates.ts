import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { X509Bundle, X509BundleSet } from '../../../src/bundle/index.js'
import { pemDecode } from '../../../src/encoding/index.js'
import { TrustDomain } from '../../../src/spiffe-id/index.js'
import { verifyX509Svid, X509Svid } from '../../../src/svid/index.js'
import { keyKinds, OpensslCa, type KeyKind, type OpensslCertificate } from './openssl-ca.js'
import { patienceMs, type Openssl } from './openssl.js'

const trustDomain = TrustDomain.parse('example.org')
const id = 'spiffe://example.org/ns/prod/sa/web'
const day = 24 * 3600 * 1000
const text = (path: string) => readFile(path, 'utf8')
const der = async ({ cert }: OpensslCertificate) => pemDecode(await text(cert))[0]!.der
const refusal = (code: string) => expect.objectContaining({ name: 'UntrustedPeerError', code }) as Error

/** What the openssl command minted: read, verified and revoked by us. */
export function testOpensslCertificates(openssl: () => Openssl): void {
  for (const kind of Object.keys(keyKinds) as KeyKind[]) describe(kind, () => testKind(openssl, kind))

  describe('signatures and extensions', () => {
    let root: OpensslCa
    beforeAll(async () => {
      root = await OpensslCa.root(openssl(), { trustDomain: 'example.org', kind: 'RSA 2048', name: 'rsa root' })
    }, patienceMs)
    const proved = async (name: string, how: readonly string[]) => {
      const leaf = await root.leaf(id, name, { kind: 'EC P-256', how })
      return verifyX509Svid([await der(leaf)], await bundleOf(root)).id.toString()
    }
    for (const hash of ['sha256', 'sha384', 'sha512']) {
      test(`RSA PKCS#1 v1.5 with ${hash} is accepted`, async () => {
        expect(await proved(`pkcs1 ${hash}`, ['-md', hash])).toBe(id)
      })
      test(`RSASSA-PSS with ${hash} is accepted`, async () => {
        const pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:digest']
        expect(await proved(`pss ${hash}`, ['-md', hash, ...pss])).toBe(id)
      })
    }
    test('SHA-1 is refused', async () => {
      await expect(proved('sha1', ['-md', 'sha1'])).rejects.toThrow(refusal('ERR_X509_CHAIN_UNTRUSTED'))
    })

    for (const [what, constraint, code] of [
      ['is permitted', 'permitted;URI:example.org', undefined],
      ['is not permitted', 'permitted;URI:other.org', 'ERR_X509_CHAIN_UNTRUSTED'],
      ['is excluded', 'excluded;URI:example.org', 'ERR_X509_CHAIN_UNTRUSTED'],
    ] as const) {
      test(`a trust domain that ${what} by a name constraint is ${code ? 'refused' : 'accepted'}`, async () => {
        const options = { kind: 'EC P-256', extensions: [`nameConstraints=critical,${constraint}`] } as const
        const middle = await root.intermediate('example.org', what, options)
        const leaf = await middle.leaf(id, `below ${what}`, { kind: 'EC P-256' })
        const prove = async (chain: Uint8Array[]) => verifyX509Svid(chain, await bundleOf(root)).id.toString()
        const proof = prove([await der(leaf), await der(middle)])
        if (code) await expect(proof).rejects.toThrow(refusal(code))
        else expect(await proof).toBe(id)
      })
    }

    test('a key with explicit curve parameters is refused', async () => {
      const key = openssl().path('explicit.key')
      const curve = ['-pkeyopt', 'ec_paramgen_curve:P-256', '-pkeyopt', 'ec_param_enc:explicit']
      await openssl().run('genpkey', '-algorithm', 'EC', ...curve, '-out', key)
      const cert = openssl().path('explicit.crt')
      const how = ['-config', '/dev/null', '-subj', '/CN=explicit', '-addext', `subjectAltName=URI:${id}`]
      const usage = ['-addext', 'keyUsage=critical,digitalSignature', '-addext', 'basicConstraints=CA:false']
      await openssl().run('req', '-new', '-x509', ...how, ...usage, '-key', key, '-out', cert)
      const read = () => X509Svid.parsePem(pem, keyPem)
      const [pem, keyPem] = [await text(cert), await text(key)]
      expect(read).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_MALFORMED' }))
    })
  })
}

function testKind(openssl: () => Openssl, kind: KeyKind): void {
  let root: OpensslCa
  let middle: OpensslCa
  let leaf: OpensslCertificate
  beforeAll(async () => {
    root = await OpensslCa.root(openssl(), { trustDomain: 'example.org', kind, name: `${kind} root` })
    middle = await root.intermediate('example.org', `${kind} signer`, { kind })
    leaf = await middle.leaf(id, `${kind} leaf`, { kind })
  }, patienceMs)
  const chainPem = async () => (await text(leaf.cert)) + (await text(middle.cert))
  const chain = async () => [await der(leaf), await der(middle)]
  /** The key of the leaf in another form. */
  const rewritten = async (command: 'pkey' | 'pkcs8', ...how: string[]) => {
    const path = openssl().path(`${kind} ${how.join(' ')}`)
    await openssl().run(command, '-in', leaf.key, ...how, '-out', path)
    return readFile(path)
  }

  test('its chain and its PKCS#8 key are an X509-SVID, in PEM and in DER', async () => {
    const svid = X509Svid.parsePem(await chainPem(), await text(leaf.key))
    expect([svid.id.toString(), svid.certificates.length, svid.issuerFaults]).toEqual([id, 2, []])
    const fromDer = X509Svid.parse(
      Buffer.concat(await chain()),
      await rewritten('pkcs8', '-topk8', '-nocrypt', '-outform', 'DER'),
    )
    expect(fromDer.equals(svid)).toBe(true)
    const said = await openssl().run('x509', '-in', leaf.cert, '-noout', '-serial')
    expect(BigInt(`0x${svid.serialNumber}`)).toBe(BigInt(`0x${said.trim().replace('serial=', '')}`))
  })

  const traditional = kind.startsWith('EC') ? 'sec1' : kind.startsWith('RSA') ? 'pkcs1' : undefined
  if (traditional) {
    test(`its ${traditional.toUpperCase()} key is read where that is asked for`, async () => {
      const svid = X509Svid.parsePem(await chainPem(), await text(leaf.key))
      const pem = await rewritten('pkey', '-traditional')
      expect(pem.toString()).toMatch(traditional === 'sec1' ? /BEGIN EC PRIVATE KEY/ : /BEGIN RSA PRIVATE KEY/)
      expect(X509Svid.parsePem(await chainPem(), pem.toString()).equals(svid)).toBe(true)
      const keyDer = await rewritten('pkey', '-traditional', '-outform', 'DER')
      const chainDer = Buffer.concat(await chain())
      expect(X509Svid.parse(chainDer, keyDer, { keyFormat: traditional }).equals(svid)).toBe(true)
      const malformed = expect.objectContaining({ code: 'ERR_X509_SVID_MALFORMED' }) as Error
      expect(() => X509Svid.parse(chainDer, keyDer)).toThrow(malformed)
    })
  }

  test('an encrypted key is refused', async () => {
    const pem = await rewritten('pkey', '-aes256', '-passout', 'pass:secret')
    expect(pem.toString()).toMatch(/BEGIN ENCRYPTED PRIVATE KEY/)
    const [certificates, encrypted] = [await chainPem(), pem.toString()]
    const malformed = expect.objectContaining({ code: 'ERR_X509_SVID_MALFORMED' }) as Error
    expect(() => X509Svid.parsePem(certificates, encrypted)).toThrow(malformed)
  })

  test('its chain is proved by its root, and by no other, and not after its end', async () => {
    const bundles = await bundleOf(root)
    const { path, expiresAt } = verifyX509Svid(await chain(), bundles)
    expect(path).toHaveLength(3)
    const end = new X509Certificate(await text(leaf.cert)).validTo
    expect(expiresAt.getTime()).toBe(Date.parse(end))
    const presented = await chain()
    const stranger = {
      trustDomain: 'example.org',
      kind: 'EC P-256',
      name: `${kind} stranger`,
      subject: `${kind} root`,
    } as const
    const strange = await bundleOf(await OpensslCa.root(openssl(), stranger))
    expect(() => verifyX509Svid(presented, strange)).toThrow(refusal('ERR_X509_CHAIN_UNTRUSTED'))
    const later = new Date(expiresAt.getTime() + 1000)
    expect(() => verifyX509Svid(presented, bundles, { now: later })).toThrow(refusal('ERR_X509_SVID_EXPIRED'))
    const before = new Date(Date.now() - day)
    expect(() => verifyX509Svid(presented, bundles, { now: before })).toThrow(refusal('ERR_X509_SVID_NOT_YET_VALID'))
  })

  test('its revocation lists refuse whom they name, and nobody else', async () => {
    const twin = await middle.leaf(id, `${kind} twin`, { kind: 'EC P-256' })
    const [good, bad] = [await chain(), [await der(twin), await der(middle)]]
    const empty = await bundleOf(root, await middle.crl(), await root.crl())
    for (const presented of [good, bad]) expect(verifyX509Svid(presented, empty).id.toString()).toBe(id)

    await middle.revoke(twin, '-crl_reason', 'keyCompromise')
    const named = await bundleOf(root, await middle.crl(), await root.crl())
    expect(verifyX509Svid(good, named).id.toString()).toBe(id)
    expect(() => verifyX509Svid(bad, named)).toThrow(refusal('ERR_X509_SVID_REVOKED'))

    await root.revoke(middle)
    const signerNamed = await bundleOf(root, await root.crl())
    expect(() => verifyX509Svid(good, signerNamed)).toThrow(refusal('ERR_X509_SVID_REVOKED'))
    // A list by another key, under the name of the root, says nothing of these certificates.
    const namesake = {
      trustDomain: 'example.org',
      kind: 'EC P-256',
      name: `${kind} namesake`,
      subject: `${kind} root`,
    } as const
    const forged = await (await OpensslCa.root(openssl(), namesake)).crl()
    const { authorities } = X509Bundle.parsePem(trustDomain, await text(root.cert))
    const bundle = X509Bundle.fromAuthorities(trustDomain, authorities, [forged])
    expect(bundle.crlFaults()).toMatchObject([{ code: 'ERR_CRL_MALFORMED' }])
    expect(verifyX509Svid(good, new X509BundleSet([bundle])).id.toString()).toBe(id)
  })
}

/** The bundle of the trust domain with one authority, as PEM files give it, and revocation lists. */
async function bundleOf(root: OpensslCa, ...crls: readonly Uint8Array[]): Promise<X509BundleSet> {
  const { authorities } = X509Bundle.parsePem(trustDomain, await text(root.cert))
  const bundle = X509Bundle.fromAuthorities(trustDomain, authorities, crls)
  expect(bundle.crlFaults()).toEqual([])
  return new X509BundleSet([bundle])
}
