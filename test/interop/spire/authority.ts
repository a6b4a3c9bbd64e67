import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { X509Bundle } from '../../../src/bundle/index.js'
import { TestCertificate } from '../../../src/dev/testing/index.js'
import type { Certificate } from '../../../src/encoding/index.js'
import { TrustDomain } from '../../../src/spiffe-id/index.js'
import { X509Svid } from '../../../src/svid/index.js'
import type { SpireServer } from './cluster.js'

/** A CA in the hands of somebody who signs what the server behind it never would. */
export interface StolenAuthority {
  /** An SVID of any SPIFFE ID, signed with the key of the CA. */
  svid(id: string): X509Svid
}

/** The CA of a real SPIRE server: its disk key manager keeps the keys in the server's directory. */
export async function stealAuthority(server: SpireServer): Promise<StolenAuthority> {
  const trustDomain = TrustDomain.parse(server.trustDomain)
  const [text, pem] = await Promise.all([
    readFile(join(server.dir, 'server/keys.json'), 'utf8'),
    server.run(['bundle', 'show']),
  ])
  const { keys } = JSON.parse(text) as { keys: Record<string, string> }
  const privateKeys = Object.values(keys).map((key) =>
    createPrivateKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'pkcs8' }),
  )
  for (const certificate of X509Bundle.parsePem(trustDomain, pem).authorities) {
    const privateKey = privateKeys.find((key) => createPublicKey(key).equals(certificate.publicKey))
    if (privateKey) return authorityOf(certificate, { privateKey, publicKey: certificate.publicKey })
  }
  throw new Error(`none of the ${privateKeys.length} keys of ${server.trustDomain} is that of a CA in its bundle`)
}

/** What is signed in the name of `certificate` with its own keys. */
export function authorityOf(certificate: Certificate, keys: TestCertificate['keys']): StolenAuthority {
  // A twin with the same name and keys: what it issues is what the original would have issued.
  const twin = TestCertificate.selfSigned({ subject: certificate.subject, keys })
  return {
    svid(id) {
      const leaf = twin.issue({
        names: { uris: [id] },
        basicConstraints: { ca: false },
        keyUsage: ['digitalSignature'],
        extKeyUsage: ['serverAuth', 'clientAuth'],
        authorityKeyId: certificate.extensions.subjectKeyId ?? null,
      })
      return X509Svid.parse(leaf.der, leaf.privateKey.export({ type: 'pkcs8', format: 'der' }))
    },
  }
}

/** A SPIFFE bundle document with one more X.509 authority, as its trust domain would publish it. */
export function withAuthority(document: string, certificate: Certificate): string {
  const bundle = JSON.parse(document) as { keys: object[]; spiffe_sequence?: number }
  const jwk = certificate.publicKey.export({ format: 'jwk' })
  const key = { use: 'x509-svid', ...jwk, x5c: [Buffer.from(certificate.der).toString('base64')] }
  return JSON.stringify({ ...bundle, keys: [...bundle.keys, key] })
}
