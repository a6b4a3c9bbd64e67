import { X509Bundle } from 'authsec-sdk'
import { TestTrustDomain } from 'authsec-sdk/testing'

export const ids = {
  service: 'spiffe://soak.test/service',
  caller: 'spiffe://soak.test/caller',
  stranger: 'spiffe://soak.test/stranger',
}

const named = (id) => ({ names: { uris: [id] } })

/** Two federated trust domains; the authority of the first is replaced over and over. */
export class World {
  #active = new TestTrustDomain('soak.test')
  #trusted = [this.#active]
  #partner = new TestTrustDomain('partner.test')

  /** An identity of the newest authority. */
  svid(id) {
    return this.#active.svid(named(id))
  }

  /** The same for another process: PEM. */
  svidPem(id) {
    return pemOf(this.#active.leaf(named(id)))
  }

  /** An identity of this trust domain that the partner, whose bundle is trusted too, has minted. */
  forged(id) {
    return this.#partner.svid(named(id))
  }

  forgedPem(id) {
    return pemOf(this.#partner.leaf(named(id)))
  }

  bundles() {
    const authorities = this.#trusted.map(({ root }) => root.certificate)
    return [X509Bundle.fromAuthorities(this.#active.trustDomain, authorities), this.#partner.bundle()]
  }

  /** A new authority is trusted beside the old one, and issues nothing yet. */
  prepare() {
    this.#trusted = [...this.#trusted, new TestTrustDomain('soak.test')]
  }

  /** From here on the new authority issues; the old one is trusted still. */
  activate() {
    this.#active = this.#trusted.at(-1)
  }

  retire() {
    this.#trusted = [this.#active]
  }
}

function pemOf({ certificate, privateKey }) {
  return { cert: certificate.toPem(), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}

export function messageOf(bundles) {
  return bundles.map((bundle) => ({ trustDomain: bundle.trustDomain.name, pem: bundle.toPem() }))
}
