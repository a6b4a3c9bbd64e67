import { generateKeyPairSync } from 'node:crypto'
import { SpiffeBundle } from '../../src/bundle/index.js'
import { makeTestKeys, type TestCertificate, type TestKeyType } from '../../src/dev/testing/index.js'
import { td } from './fixtures.js'

type Jwk = Record<string, unknown>

/** An `x509-svid` entry for a certificate. */
export function x509Entry(certificate: TestCertificate = td.root, changes: Jwk = {}): Jwk {
  const key = certificate.keys.publicKey.export({ format: 'jwk' })
  return { use: 'x509-svid', ...key, x5c: [Buffer.from(certificate.der).toString('base64')], ...changes }
}

const jwtKey = makeTestKeys().publicKey.export({ format: 'jwk' })

/** A `jwt-svid` entry, always of the same key unless the changes say otherwise. */
export function jwtEntry(changes: Jwk = {}): Jwk {
  return { use: 'jwt-svid', kid: 'k1', ...jwtKey, ...changes }
}

export function publicJwk(type: TestKeyType): Jwk {
  return { ...makeTestKeys(type).publicKey.export({ format: 'jwk' }) }
}

export function x25519Jwk(): Jwk {
  return { ...generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' }) }
}

export function without(entry: Jwk, ...names: readonly string[]): Jwk {
  return Object.fromEntries(Object.entries(entry).filter(([name]) => !names.includes(name)))
}

export function parse(document: unknown): SpiffeBundle {
  return SpiffeBundle.parse(td.trustDomain, typeof document === 'string' ? document : JSON.stringify(document))
}

/** How many authorities of each kind a document with these entries has. */
export function count(...keys: readonly unknown[]): { x509: number; jwt: number; skipped: number } {
  const bundle = parse({ keys })
  return {
    x509: bundle.x509Bundle.authorities.length,
    jwt: bundle.jwtBundle.authorities.length,
    skipped: bundle.skipped.length,
  }
}
