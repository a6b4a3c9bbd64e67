import { X509Bundle } from '../../bundle/index.js'
import type { Certificate } from '../../encoding/index.js'
import { InvalidInputError, SpiffeError } from '../../errors/index.js'
import type { SpiffeId, TrustDomain } from '../../spiffe-id/index.js'
import type { X509Svid } from '../../svid/index.js'
import { DevAuthority } from '../authority/index.js'
import type { Identity } from './identity.js'
import { JwtAuthority } from './jwt-authority.js'
import type { JwtKey } from './jwt-authority.js'

type Now = () => Date

interface Authorities {
  readonly x509: DevAuthority
  readonly jwt: JwtAuthority
}

/** The authorities of one trust domain: one pair issues, and all that are published are trusted. */
export class AuthorityRing {
  readonly #trustDomain: TrustDomain
  readonly #now: Now
  #active: Authorities
  #next: Authorities | undefined
  #retired: readonly Authorities[] = []

  private constructor(trustDomain: TrustDomain, now: Now, active: Authorities) {
    this.#trustDomain = trustDomain
    this.#now = now
    this.#active = active
  }

  static async create(trustDomain: TrustDomain, now: Now): Promise<AuthorityRing> {
    return new AuthorityRing(trustDomain, now, await createAuthorities(trustDomain, now))
  }

  /** The authority that issues X509-SVIDs. */
  get active(): DevAuthority {
    return this.#active.x509
  }

  /**
   * The roots to trust: the one that issues, the next one once it is prepared, and old ones not yet retired. With their
   * revocation lists.
   */
  bundle(): X509Bundle {
    const bundles = this.#published().map(({ x509 }) => x509.bundle())
    return X509Bundle.fromAuthorities(
      this.#trustDomain,
      bundles.flatMap(({ authorities }) => [...authorities]),
      bundles.flatMap(({ crls }) => [...crls]),
    )
  }

  /** The authority that issued a certificate puts it on its revocation list. */
  async revoke(certificate: Certificate): Promise<void> {
    const issuer = this.#published().find(({ x509 }) => x509.issued(certificate))
    if (!issuer) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `no authority of ${this.#trustDomain.name} that is still trusted issued the certificate ${certificate.serialNumber}`,
      )
    }
    await issuer.x509.revoke(certificate, { now: this.#now() })
  }

  /** The keys to trust JWT-SVIDs by, in the same way. */
  jwtKeys(): JwtKey[] {
    return this.#published().map(({ jwt }) => jwt.key)
  }

  /** Issues by the authority that is active when the SVID is ready. */
  async issueX509({ id, hint, dnsNames }: Identity, ttlMs: number): Promise<X509Svid> {
    for (;;) {
      const { x509 } = this.#active
      const svid = await x509.issueX509Svid({ id, hint, dnsNames, ttlMs, now: this.#now() })
      if (x509 === this.#active.x509) return svid
    }
  }

  /** Signs a JWT-SVID with exactly these audiences. */
  issueJwt(id: SpiffeId, audience: readonly string[], ttlMs: number): Promise<string> {
    const nowMs = this.#now().getTime()
    return this.#active.jwt.sign({
      sub: id.toString(),
      aud: audience,
      iat: Math.floor(nowMs / 1000),
      exp: Math.ceil((nowMs + ttlMs) / 1000),
    })
  }

  /** Makes the next authorities; they are trusted from now on and issue nothing yet. */
  async prepare(): Promise<void> {
    this.#assertNoneNext()
    const next = await createAuthorities(this.#trustDomain, this.#now)
    this.#assertNoneNext()
    this.#next = next
  }

  /** The prepared authorities issue from now on; the old ones stay trusted. */
  activate(): void {
    if (!this.#next) throw new SpiffeError('ERR_DEV_AGENT', 'no authority is prepared; prepare one first')
    this.#retired = [this.#active, ...this.#retired]
    this.#active = this.#next
    this.#next = undefined
  }

  /** Old authorities are trusted no longer. */
  retire(): void {
    this.#retired = []
  }

  #published(): Authorities[] {
    return [this.#active, ...(this.#next ? [this.#next] : []), ...this.#retired]
  }

  #assertNoneNext(): void {
    if (this.#next) throw new SpiffeError('ERR_DEV_AGENT', 'the next authority is prepared already; activate it first')
  }
}

async function createAuthorities(trustDomain: TrustDomain, now: Now): Promise<Authorities> {
  return { x509: await DevAuthority.create({ trustDomain, now: now() }), jwt: new JwtAuthority() }
}
