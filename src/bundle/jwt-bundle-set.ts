import { InvalidInputError } from '../errors/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import type { JwtBundle } from './jwt-bundle.js'

/** Where the JWT authorities of a trust domain come from. */
export interface JwtBundleSource {
  /** The bundle of exactly this trust domain; `undefined` means that no JWT-SVID of it is trusted. */
  getJwtBundle(trustDomain: TrustDomain): JwtBundle | undefined
}

/** At most one bundle for each trust domain. Immutable. */
export class JwtBundleSet implements JwtBundleSource, Iterable<JwtBundle> {
  readonly #bundles = new Map<string, JwtBundle>()

  /** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when two bundles are of one trust domain. */
  constructor(bundles: Iterable<JwtBundle>) {
    for (const bundle of bundles) {
      const { name } = bundle.trustDomain
      if (this.#bundles.has(name)) {
        throw new InvalidInputError(
          'ERR_INVALID_ARGUMENT',
          `expected one bundle for each trust domain; ${name} has two`,
        )
      }
      this.#bundles.set(name, bundle)
    }
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
