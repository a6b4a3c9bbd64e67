import type { X509Bundle } from '../../bundle/index.js'
import type { TrustDomain } from '../../spiffe-id/index.js'
import type { JwtKey } from './jwt-authority.js'

/** The tie to one foreign trust domain, for as long as its bundle is handed out. */
export interface DevFederation {
  readonly trustDomain: TrustDomain
  /** The foreign bundle leaves the messages. Does nothing once ended or replaced. */
  end(): void
  [Symbol.dispose](): void
}

/** What is known of a foreign trust domain. */
export interface ForeignTrust {
  readonly bundle: X509Bundle
  readonly jwtKeys: readonly JwtKey[] | undefined
}

interface Tie {
  readonly trust: () => ForeignTrust
  readonly untie: () => void
}

/** The foreign trust domains of one agent, at most one bundle for each. */
export class Federations {
  readonly #ties = new Map<string, Tie>()
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** Ties a trust domain; an older tie to the same one is replaced. */
  tie(trustDomain: TrustDomain, trust: () => ForeignTrust, untie: () => void): DevFederation {
    const tie = { trust, untie }
    this.#ties.get(trustDomain.name)?.untie()
    this.#ties.set(trustDomain.name, tie)
    this.#changed()
    const end = () => {
      if (this.#ties.get(trustDomain.name) !== tie) return
      this.#ties.delete(trustDomain.name)
      untie()
      this.#changed()
    }
    return { trustDomain, end, [Symbol.dispose]: end }
  }

  /** What is known now, sorted by name: the same state is the same message. */
  present(): ForeignTrust[] {
    return [...this.#ties].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { trust }]) => trust())
  }

  /** Unties everything without telling anybody. */
  clear(): void {
    for (const { untie } of this.#ties.values()) untie()
    this.#ties.clear()
  }
}
