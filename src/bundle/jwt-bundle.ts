import type { KeyObject } from 'node:crypto'
import type { JsonValue } from '../encoding/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import { bundleFault, readKeys } from './jwk-set.js'
import { readJwkKey } from './jwk.js'

/** A key that signs JWT-SVIDs. */
export interface JwtAuthority {
  readonly keyId: string
  readonly publicKey: KeyObject
}

/** The JWT authorities of one trust domain. Immutable; none means that no JWT-SVID of it is trusted. */
export class JwtBundle {
  readonly trustDomain: TrustDomain
  /** In the order given. One key ID may occur with several keys: each of them is a candidate. */
  readonly authorities: readonly JwtAuthority[]

  private constructor(trustDomain: TrustDomain, authorities: readonly JwtAuthority[]) {
    this.trustDomain = trustDomain
    this.authorities = Object.freeze([...byIdentity(authorities).values()])
    Object.freeze(this)
  }

  /**
   * Reads the JWK Set that the Workload API sends. Entries without `use`, which is what SPIRE sends, count as
   * `jwt-svid`; entries of another use or that cannot be used are left out.
   * @param maxKeysPerBundle - Most entries of the set. Default: as many as there are.
   * @throws InvalidMaterialError with code `ERR_BUNDLE_MALFORMED`.
   */
  static parse(trustDomain: TrustDomain, document: Uint8Array | string, maxKeysPerBundle = Infinity): JwtBundle {
    const { keys } = readKeys(trustDomain, document)
    if (keys.length > maxKeysPerBundle) {
      const allowed = `the ${maxKeysPerBundle} allowed (maxKeysPerBundle)`
      throw bundleFault(`the bundle of ${trustDomain.name} holds ${keys.length} keys, more than ${allowed}`)
    }
    const authorities: JwtAuthority[] = []
    for (const entry of keys) {
      if (!(entry instanceof Map)) continue
      const jwk = entry as ReadonlyMap<string, JsonValue>
      if (jwk.has('use') && jwk.get('use') !== 'jwt-svid') continue
      const authority = readJwtAuthority(jwk)
      if (typeof authority !== 'string') authorities.push(authority)
    }
    return new JwtBundle(trustDomain, authorities)
  }

  static fromAuthorities(trustDomain: TrustDomain, authorities: readonly JwtAuthority[]): JwtBundle {
    return new JwtBundle(trustDomain, authorities)
  }

  /** The keys with this ID; all keys when the token names none. */
  find(keyId: string | undefined): readonly JwtAuthority[] {
    return keyId === undefined ? this.authorities : this.authorities.filter((authority) => authority.keyId === keyId)
  }

  /** The same trust domain with the same keys, in whatever order. */
  equals(other: JwtBundle): boolean {
    return this.trustDomain.equals(other.trustDomain) && sameAuthorities(this.authorities, other.authorities)
  }

  /** A JWK Set with `use` and `kid` on every entry. */
  toJSON(): { keys: object[] } {
    return { keys: this.authorities.map(jwtAuthorityToJwk) }
  }
}

/** The authority, or why the entry is left out. */
export function readJwtAuthority(jwk: ReadonlyMap<string, JsonValue>): JwtAuthority | string {
  const keyId = jwk.get('kid')
  if (typeof keyId !== 'string' || keyId === '') return 'it has no key ID'
  const key = readJwkKey(jwk)
  if (key.fault !== undefined) return key.fault
  // JWT-SVID §2.1: ES, RS and PS only, so an Ed25519 key could verify nothing.
  if (key.publicKey.asymmetricKeyType === 'ed25519') return 'no algorithm of JWT-SVIDs uses its kind of key'
  return Object.freeze({ keyId, publicKey: key.publicKey })
}

export function jwtAuthorityToJwk({ keyId, publicKey }: JwtAuthority): object {
  return { use: 'jwt-svid', kid: keyId, ...publicKey.export({ format: 'jwk' }) }
}

function sameAuthorities(mine: readonly JwtAuthority[], theirs: readonly JwtAuthority[]): boolean {
  const [a, b] = [byIdentity(mine), byIdentity(theirs)]
  return a.size === b.size && [...a.keys()].every((key) => b.has(key))
}

/** Each authority once, by what tells two of them apart: the key ID, and the key as DER. */
function byIdentity(authorities: readonly JwtAuthority[]): Map<string, JwtAuthority> {
  return new Map(
    authorities.map((authority) => {
      const key = authority.publicKey.export({ type: 'spki', format: 'der' }).toString('latin1')
      return [JSON.stringify([authority.keyId, key]), authority]
    }),
  )
}
