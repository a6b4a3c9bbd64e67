import { constants, createHmac, sign, type KeyObject } from 'node:crypto'
import { exportSpki } from './test-keys.js'

/** Everything about a token that may be right or wrong. What is left out is right. */
export interface TestTokenOptions {
  /** Members of the header to change or add; `undefined` takes one out. */
  header?: Readonly<Record<string, unknown>> | undefined
  /** Claims to change or add; `undefined` takes one out. */
  claims?: Readonly<Record<string, unknown>> | undefined
  /** The whole header, as text. */
  rawHeader?: string | undefined
  /** The whole payload, as text. */
  rawPayload?: string | undefined
  /** Signs instead of the key of the trust domain. */
  privateKey?: KeyObject | undefined
  /** How it is signed, whatever the header says. Default as the header says. */
  signAs?: string | undefined
  mangleSignature?: ((signature: Uint8Array) => Uint8Array) | undefined
}

/** A compact JWS of whatever it is given. */
export function writeToken(header: string, payload: string, signature: (signed: Buffer) => Uint8Array): string {
  const signed = `${base64url(header)}.${base64url(payload)}`
  return `${signed}.${base64url(signature(Buffer.from(signed)))}`
}

/** Signs as RFC 7518 has it, also with algorithms that a JWT-SVID must not have; `HS256` takes the public key as secret. */
export function signJws(alg: unknown, key: KeyObject, publicKey: KeyObject, signed: Uint8Array): Uint8Array {
  const name = typeof alg === 'string' ? alg.toUpperCase() : ''
  const hash = `sha${/(256|384|512)/.exec(name)?.[0] ?? '256'}`
  if (name === 'NONE') return new Uint8Array(0)
  if (name.startsWith('HS')) return createHmac(hash, exportSpki(publicKey)).update(signed).digest()
  if (key.asymmetricKeyType === 'ed25519') return sign(null, signed, key)
  if (key.asymmetricKeyType === 'ec') return sign(hash, signed, { key, dsaEncoding: 'ieee-p1363' })
  if (!name.startsWith('PS')) return sign(hash, signed, key)
  const saltLength = Number(hash.slice(3)) / 8
  return sign(hash, signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
}

function base64url(value: string | Uint8Array): string {
  return Buffer.from(value as string).toString('base64url')
}
