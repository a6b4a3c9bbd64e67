import type { TrustDomain } from '../spiffe-id/index.js'
import { byTrustDomain } from './by-trust-domain.js'
import type { X509Bundle } from './x509-bundle.js'

/** Where the X.509 authorities of a trust domain come from. Synchronous: it answers inside a TLS handshake. */
export interface X509BundleSource {
  /** The bundle of exactly this trust domain; `undefined` means that nothing of it is trusted. */
  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined
}

/** At most one bundle for each trust domain. Immutable. */
export class X509BundleSet implements X509BundleSource, Iterable<X509Bundle> {
  readonly #bundles: ReadonlyMap<string, X509Bundle>

  /** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when two bundles are of one trust domain. */
  constructor(bundles: Iterable<X509Bundle>) {
    this.#bundles = byTrustDomain(bundles)
    Object.freeze(this)
  }

  get size(): number {
    return this.#bundles.size
  }

  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    return this.#bundles.get(trustDomain.name)
  }

  [Symbol.iterator](): Iterator<X509Bundle> {
    return this.#bundles.values()
  }

  equals(other: X509BundleSet): boolean {
    if (this.size !== other.size) return false
    for (const bundle of this) {
      const theirs = other.getX509Bundle(bundle.trustDomain)
      if (!theirs || !bundle.equals(theirs)) return false
    }
    return true
  }

  /**
   * The same bundles, and for each that an earlier set holds with equal contents that very object; the earlier set itself
   * when nothing differs. What was proved with a bundle need not be proved anew while it is the same object.
   */
  reusing(earlier: X509BundleSet): X509BundleSet {
    const [anyEarlier] = earlier
    if (!anyEarlier) return this
    let differs = this.size !== earlier.size
    const bundles = [...this].map((bundle) => {
      const known = earlier.getX509Bundle(bundle.trustDomain)
      if (known?.equals(bundle)) return known
      differs = true
      // All bundles of a message carry the same lists, which may be large.
      return bundle.sharingLists(anyEarlier)
    })
    return differs ? new X509BundleSet(bundles) : earlier
  }

  toJSON(): X509Bundle[] {
    return [...this]
  }
}
