import { constants, verify, type KeyObject, type SigningOptions } from 'node:crypto'

const minRsaBits = 2048

/** One signature algorithm of JWT-SVIDs, bound to the one kind of key that it may be used with: RFC 7518 §3.3 to §3.5. */
export interface JwtAlgorithm {
  readonly name: string
  fits(key: KeyObject): boolean
  verifies(signed: Uint8Array, signature: Uint8Array, key: KeyObject): boolean
}

/** JWT-SVID §2.1: these nine, and nothing else. */
export const jwtAlgorithms: ReadonlyMap<string, JwtAlgorithm> = new Map(
  [
    rsa('RS256', 'sha256', { padding: constants.RSA_PKCS1_PADDING }),
    rsa('RS384', 'sha384', { padding: constants.RSA_PKCS1_PADDING }),
    rsa('RS512', 'sha512', { padding: constants.RSA_PKCS1_PADDING }),
    ecdsa('ES256', 'sha256', 'prime256v1'),
    ecdsa('ES384', 'sha384', 'secp384r1'),
    ecdsa('ES512', 'sha512', 'secp521r1'),
    // The salt is as long as the hash, no other length.
    rsa('PS256', 'sha256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
    rsa('PS384', 'sha384', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }),
    rsa('PS512', 'sha512', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }),
  ].map((algorithm) => [algorithm.name, algorithm]),
)

function rsa(name: string, hash: string, options: SigningOptions): JwtAlgorithm {
  return {
    name,
    fits: ({ asymmetricKeyType, asymmetricKeyDetails }) =>
      asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= minRsaBits,
    verifies: (signed, signature, key) => verify(hash, signed, { key, ...options }, signature),
  }
}

function ecdsa(name: string, hash: string, curve: string): JwtAlgorithm {
  return {
    name,
    fits: ({ asymmetricKeyType, asymmetricKeyDetails }) =>
      asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === curve,
    // RFC 7518 §3.4: both numbers at full length, one after the other; never the DER form.
    verifies: (signed, signature, key) => verify(hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature),
  }
}
