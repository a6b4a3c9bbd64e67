/** An identity source whose contents are replaced from outside. */
export class LiveSource {
  #listeners = new Set()
  #svid
  #bundles

  constructor({ svid, bundles }) {
    this.#svid = svid
    this.#bundles = bundles
  }

  getX509Svid() {
    return this.#svid
  }

  getX509Bundle(trustDomain) {
    return this.#bundles.find((bundle) => bundle.trustDomain.equals(trustDomain))
  }

  get context() {
    return { bundles: this.#bundles }
  }

  get listeners() {
    return this.#listeners.size
  }

  onUpdate(listener) {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  use({ svid = this.#svid, bundles = this.#bundles }) {
    this.#svid = svid
    this.#bundles = bundles
    for (const listener of this.#listeners) listener()
  }
}
