import type { TrustDomain } from '../spiffe-id/index.js'
import { byTrustDomain } from './by-trust-domain.js'
import type { JwtBundle } from './jwt-bundle.js'

/** Where the JWT authorities of a trust domain come from. */
export interface JwtBundleSource {
  /** The bundle of exactly this trust domain; `undefined` means that no JWT-SVID of it is trusted. */
  getJwtBundle(trustDomain: TrustDomain): JwtBundle | undefined
}

/** At most one bundle for each trust domain. Immutable. */
export class JwtBundleSet implements JwtBundleSource, Iterable<JwtBundle> {
  readonly #bundles: ReadonlyMap<string, JwtBundle>

  /** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when two bundles are of one trust domain. */
  constructor(bundles: Iterable<JwtBundle>) {
    this.#bundles = byTrustDomain(bundles)
    Object.freeze(this)
  }

  get size(): number {
    return this.#bundles.size
  }

  getJwtBundle(trustDomain: TrustDomain): JwtBundle | undefined {
    return this.#bundles.get(trustDomain.name)
  }

  [Symbol.iterator](): Iterator<JwtBundle> {
    return this.#bundles.values()
  }

  equals(other: JwtBundleSet): boolean {
    return (
      this.size === other.size && [...this].every((mine) => other.getJwtBundle(mine.trustDomain)?.equals(mine) === true)
    )
  }
}
