import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { base64urlDecode, type JsonObject } from '../encoding/index.js'

const minRsaBits = 2048
const maxRsaBits = 8192
const coordinateBytes: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }

/** The public key of a JWK, or why there is none to use: RFC 7518 §6, RFC 8037 §2. */
export type JwkKey = { readonly publicKey: KeyObject; readonly fault?: never } | { readonly fault: string }

/** Reads the key parameters of a JWK and nothing else of it. A private or symmetric key is none for a bundle. */
export function readJwkKey(jwk: JsonObject): JwkKey {
  // RFC 7517 §9.2, RFC 7518 §6: d, p, q, dp, dq, qi, oth and k are secrets.
  for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
    if (jwk.has(secret)) return { fault: 'it holds a private or symmetric key' }
  }
  const picked = pickParameters(jwk)
  if (typeof picked === 'string') return { fault: picked }
  let publicKey: KeyObject
  try {
    publicKey = createPublicKey({ key: picked, format: 'jwk' })
  } catch {
    return { fault: 'its numbers are no key' }
  }
  const bits = publicKey.asymmetricKeyDetails?.modulusLength
  const exponent = publicKey.asymmetricKeyDetails?.publicExponent ?? 65_537n
  if (bits !== undefined && (bits < minRsaBits || bits > maxRsaBits)) return { fault: `its RSA key has ${bits} bits` }
  return exponent < 3n || exponent % 2n === 0n ? { fault: 'its RSA exponent proves nothing' } : { publicKey }
}

function pickParameters(jwk: JsonObject): JsonWebKey | string {
  const kty = jwk.get('kty')
  if (kty === 'RSA') {
    const [n, e] = [octets(jwk, 'n'), octets(jwk, 'e')]
    const isSized = n !== undefined && e !== undefined && n.length <= 1024 && e.length <= 8
    return isSized ? { kty, n: n.text, e: e.text } : 'its RSA parameters are missing or malformed'
  }
  const crv = jwk.get('crv')
  const x = octets(jwk, 'x')
  if (kty === 'OKP' && crv === 'Ed25519') {
    return x?.length === 32 ? { kty, crv, x: x.text } : 'its Ed25519 parameter is missing or malformed'
  }
  if (kty === 'EC' && typeof crv === 'string' && Object.hasOwn(coordinateBytes, crv)) {
    const y = octets(jwk, 'y')
    // RFC 7518 §6.2.1.2: as many octets as the curve needs, leading zeros included.
    const length = coordinateBytes[crv]
    const whole = x?.length === length && y?.length === length
    return whole && x && y ? { kty, crv, x: x.text, y: y.text } : 'its coordinates are missing or malformed'
  }
  return 'its key type or curve is not known'
}

function octets(jwk: JsonObject, name: string): { text: string; length: number } | undefined {
  const text = jwk.get(name)
  if (typeof text !== 'string' || text === '') return undefined
  try {
    return { text, length: base64urlDecode(text).length }
  } catch {
    return undefined
  }
}
