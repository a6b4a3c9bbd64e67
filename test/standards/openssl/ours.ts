import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { DevAuthority } from '../../../src/dev/authority/index.js'
import { TestTrustDomain, type TestKeyType } from '../../../src/dev/testing/index.js'
import { pemEncode } from '../../../src/encoding/index.js'
import { X509Svid } from '../../../src/svid/index.js'
import type { Openssl } from './openssl.js'

const id = 'spiffe://example.org/ns/prod/sa/web'

/** What we mint and write, as the openssl command reads it, by the letter of RFC 5280. */
export function testOursByOpenssl(openssl: () => Openssl): void {
  const file = async (name: string, content: string | Uint8Array) => {
    const path = openssl().path(`ours ${name}`)
    await writeFile(path, content)
    return path
  }

  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048', 'ed25519'] as const satisfies TestKeyType[]) {
    test(`a chain of the test kit, its key and its revocation lists (${keyType})`, async () => {
      const td = new TestTrustDomain('example.org', { root: { keyType } })
      const middle = td.intermediate({ keyType })
      const leaf = td.leaf({ keyType, names: { uris: [id] } }, middle)
      const twin = td.leaf({ keyType, names: { uris: [id] } }, middle)
      const key = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
      const svid = X509Svid.parse(Buffer.concat([leaf.der, middle.der]), key)

      const root = await file('root.pem', td.bundle().toPem())
      const sent = await file('sent.pem', middle.certificate.toPem())
      // The chain as we write it: the first certificate is the leaf.
      const chain = await file('chain.pem', svid.certificatesPem())
      const other = await file('twin.pem', twin.certificate.toPem())
      const crls = [middle.issueCrl({ revoked: [twin.serialNumber] }), td.root.issueCrl({})]
      const lists = await file('lists.pem', crls.map((crl) => pemEncode('X509 CRL', crl)).join(''))
      const verify = (cert: string, ...how: string[]) =>
        openssl().ask('verify', '-x509_strict', '-no-CApath', '-CAfile', root, '-untrusted', sent, ...how, cert)
      for (const purpose of ['sslserver', 'sslclient']) {
        const checked = ['-purpose', purpose, '-crl_check_all', '-CRLfile', lists]
        expect(await verify(chain, ...checked)).toEqual({ code: 0, said: `${chain}: OK\n` })
        const revoked = await verify(other, ...checked)
        expect([revoked.code, revoked.said]).toEqual([2, expect.stringContaining('certificate revoked')])
      }

      const names = await openssl().run('x509', '-in', chain, '-noout', '-ext', 'subjectAltName,keyUsage')
      expect(names).toMatch(new RegExp(`URI:${id}\\s`))
      expect(names).toContain('Digital Signature')
      for (const [index, crl] of crls.entries()) {
        const [list, signer] = [await file(`${index}.crl`, crl), index === 0 ? sent : root]
        expect(await openssl().run('crl', '-inform', 'DER', '-in', list, '-CAfile', signer, '-noout')).toContain('OK')
      }

      const privatePem = await file('key.pem', svid.privateKeyPem())
      const check = await openssl().run('pkey', '-in', privatePem, '-check', '-pubout')
      expect(check).toContain(await openssl().run('x509', '-in', chain, '-noout', '-pubkey'))
      const privateDer = await file('key.der', svid.privateKeyDer())
      await openssl().run('pkcs8', '-inform', 'DER', '-in', privateDer, '-nocrypt', '-topk8')
    })
  }

  test('an SVID of the dev agent', async () => {
    const authority = await DevAuthority.create({ trustDomain: 'example.org' })
    const svid = await authority.issueX509Svid({ id, dnsNames: ['web.example.org'] })
    const root = await file('dev root.pem', authority.bundle().toPem())
    const chain = await file('dev chain.pem', svid.certificatesPem())
    for (const purpose of ['sslserver', 'sslclient']) {
      const how = ['-x509_strict', '-no-CApath', '-CAfile', root, '-purpose', purpose]
      expect(await openssl().ask('verify', ...how, chain)).toEqual({ code: 0, said: `${chain}: OK\n` })
    }
    const names = await openssl().run('x509', '-in', chain, '-noout', '-ext', 'subjectAltName')
    expect(names).toContain(`URI:${id}, DNS:web.example.org`)
  })
}
