import type { X509Bundle } from '../../src/bundle/index.js'
import type { TrustDomain } from '../../src/spiffe-id/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import type { IdentitySource } from '../../src/tls/index.js'

/** An identity that a test replaces by hand. */
export class TestSource implements IdentitySource {
  readonly #listeners = new Set<() => void>()
  #svid: X509Svid | Error
  #bundles: readonly X509Bundle[]

  constructor(svid: X509Svid, ...bundles: X509Bundle[]) {
    this.#svid = svid
    this.#bundles = bundles
  }

  getX509Svid(): X509Svid {
    if (this.#svid instanceof Error) throw this.#svid
    return this.#svid
  }

  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    return this.#bundles.find((bundle) => bundle.trustDomain.equals(trustDomain))
  }

  get context() {
    return { bundles: this.#bundles }
  }

  onUpdate(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** An error stands for a source that has no valid SVID any more. */
  use(svid: X509Svid | Error, ...bundles: X509Bundle[]): void {
    this.useQuietly(svid, ...bundles)
    for (const listener of this.#listeners) listener()
  }

  /** Replaces without telling anybody, so that only who asks will know. */
  useQuietly(svid: X509Svid | Error, ...bundles: X509Bundle[]): void {
    this.#svid = svid
    if (bundles.length > 0) this.#bundles = bundles
  }
}
