import type { JwtAuthority } from '../../bundle/index.js'
import type { TestCertificate } from './test-certificate.js'

/** Everything about a bundle document that may be right or wrong. What is left out is right. */
export interface TestBundleDocumentOptions {
  /** Certificates with an `x509-svid` entry each, whether or not they may be authorities. Default the root. */
  authorities?: readonly TestCertificate[] | undefined
  /** Keys with a `jwt-svid` entry each. Default the one that signs tokens. */
  jwtAuthorities?: readonly JwtAuthority[] | undefined
  /** Default none. */
  sequenceNumber?: bigint | undefined
  /** In seconds. Default none. */
  refreshHint?: number | undefined
  /** What is written in place of each entry, which need not be an object. */
  changeEntry?: ((entry: Record<string, unknown>, index: number) => unknown) | undefined
  /** Members of the document to change or add; `undefined` takes one out. */
  members?: Readonly<Record<string, unknown>> | undefined
}

/** SPIFFE bundle format, §4: a JWK Set with two members of its own. */
export function writeBundleDocument(options: TestBundleDocumentOptions): string {
  const { authorities = [], jwtAuthorities = [], changeEntry = (entry: object) => entry } = options
  const entries: Record<string, unknown>[] = [
    ...authorities.map(({ der, keys }) => ({
      use: 'x509-svid',
      ...keys.publicKey.export({ format: 'jwk' }),
      x5c: [Buffer.from(der).toString('base64')],
    })),
    ...jwtAuthorities.map(({ keyId, publicKey }) => ({
      use: 'jwt-svid',
      kid: keyId,
      ...publicKey.export({ format: 'jwk' }),
    })),
  ]
  const members: Record<string, unknown> = {
    keys: entries.map(changeEntry),
    spiffe_sequence: options.sequenceNumber,
    spiffe_refresh_hint: options.refreshHint,
    ...options.members,
  }
  // By hand, since a sequence number may be larger than what JSON.stringify writes.
  const written = Object.entries(members).filter(([, value]) => value !== undefined)
  return `{${written.map(([name, value]) => `${JSON.stringify(name)}:${toJson(value)}`).join(',')}}`
}

function toJson(value: unknown): string {
  return typeof value === 'bigint' ? value.toString() : JSON.stringify(value)
}
