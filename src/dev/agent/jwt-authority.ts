import { createHash, generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** A public key of a JWT bundle: what identifies it and what verifies with it, nothing else. */
export interface JwtKey {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
  readonly kid: string
}

/** What a JWT-SVID says. Times in seconds, as in the token. */
export interface JwtClaims {
  readonly sub: string
  readonly aud: readonly string[]
  readonly iat: number
  readonly exp: number
}

/** Signs the JWT-SVIDs of one trust domain: ES256, its key in memory only. */
export class JwtAuthority {
  readonly key: JwtKey
  readonly #privateKey: KeyObject

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
    // The thumbprint of RFC 7638: its members in this order, nothing between them.
    const thumbprint = JSON.stringify({ crv: 'P-256', kty: 'EC', x, y })
    this.key = { kty: 'EC', crv: 'P-256', x, y, kid: createHash('sha256').update(thumbprint).digest('base64url') }
    this.#privateKey = privateKey
  }

  async sign(claims: JwtClaims): Promise<string> {
    const { SignJWT } = await import('jose')
    return new SignJWT({ ...claims, aud: [...claims.aud] })
      .setProtectedHeader({ alg: 'ES256', kid: this.key.kid, typ: 'JWT' })
      .sign(this.#privateKey)
  }
}
