import { X509Bundle } from 'authsec-sdk'
import { TestTrustDomain } from 'authsec-sdk/testing'

export const ids = {
  service: 'spiffe://soak.test/service',
  caller: 'spiffe://soak.test/caller',
  stranger: 'spiffe://soak.test/stranger',
}

/** Two federated trust domains; the authority of the first is replaced over and over. */
export class World {
  #active = new TestTrustDomain('soak.test')
  #trusted = [this.#active]
  #partner = new TestTrustDomain('partner.test')
  rollOvers = 0

  /** An identity of the newest authority. */
  svid(id) {
    return this.#active.svid({ names: { uris: [id] } })
  }

  /** An identity of this trust domain that the partner, whose bundle is trusted too, has minted. */
  forged(id) {
    return this.#partner.svid({ names: { uris: [id] } })
  }

  bundles() {
    const authorities = this.#trusted.map(({ root }) => root.certificate)
    return [X509Bundle.fromAuthorities(this.#active.trustDomain, authorities), this.#partner.bundle()]
  }

  /** Trusted beside the old authority, and issuing nothing yet. */
  prepare() {
    this.#trusted = [...this.#trusted, new TestTrustDomain('soak.test')]
  }

  activate() {
    this.#active = this.#trusted.at(-1)
  }

  retire() {
    this.#trusted = [this.#active]
    this.rollOvers++
  }
}

export function pemOf(svid) {
  return { cert: svid.certificatesPem(), key: svid.privateKeyPem() }
}

export function messageOf(bundles) {
  return bundles.map((bundle) => ({ trustDomain: bundle.trustDomain.name, pem: bundle.toPem() }))
}
