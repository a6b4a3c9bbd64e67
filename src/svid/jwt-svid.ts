import type { SpiffeId } from '../spiffe-id/index.js'
import { readJwtToken, type JwtClaims, type JwtToken } from './jwt-token.js'

/** Where the workload's own JWT-SVIDs come from. */
export interface JwtSvidSource {
  /** One for these audiences, of the default identity or of the one named; valid now. */
  getJwtSvid(audience: string | readonly string[], options?: GetJwtSvidOptions): Promise<JwtSvid>
}

export interface GetJwtSvidOptions {
  /** Whose; default the first identity that the agent issues to this workload. */
  spiffeId?: string | SpiffeId | undefined
  /** Ends the wait of this caller with the signal's own reason. */
  signal?: AbortSignal | undefined
}

export interface JwtSvidOptions {
  /** The agent's word for which SVID this is among several. Default none, which is the empty text. */
  hint?: string | undefined
}

/**
 * A JWT-SVID of one's own: what an agent issued, to be shown to its audience. It proves nothing to whoever holds it;
 * what a stranger shows is for {@link verifyJwtSvid}, which gives another type. The token is printed by nothing.
 */
export class JwtSvid {
  readonly id: SpiffeId
  readonly audience: readonly string[]
  readonly claims: JwtClaims
  readonly hint: string
  readonly #token: string
  readonly #expiresAtMs: number

  private constructor(token: string, { id, audience, expiresAtMs, claims }: JwtToken, hint: string) {
    this.id = id
    this.audience = audience
    this.#expiresAtMs = expiresAtMs
    this.claims = claims
    this.hint = hint
    this.#token = token
    Object.freeze(this)
  }

  /**
   * Reads a token from a place that is trusted, such as one's own agent. Nobody looks at its signature, audience or
   * expiry: never use it on what a peer shows.
   * @throws InvalidMaterialError with code `ERR_JWT_SVID_MALFORMED`.
   */
  static parseUnverified(token: string, options?: JwtSvidOptions): JwtSvid {
    return new JwtSvid(token, readJwtToken(token, Infinity), options?.hint ?? '')
  }

  get expiresAt(): Date {
    return new Date(this.#expiresAtMs)
  }

  /** The token, to be sent to its audience. Keep it out of logs and URLs. */
  get token(): string {
    return this.#token
  }

  /** `Bearer …`: the value of the HTTP header, or of the gRPC metadata key, `authorization`. Keep it out of logs. */
  get authorization(): string {
    return `Bearer ${this.#token}`
  }

  /** Past its expiry at `now`, which is the current time unless given. */
  isExpired(now: Date = new Date()): boolean {
    // Written so that an invalid date counts as expired.
    return !(now.getTime() < this.#expiresAtMs)
  }

  /** The same token and hint. */
  equals(other: JwtSvid): boolean {
    return this.#token === other.token && this.hint === other.hint
  }

  toString(): string {
    return this.id.toString()
  }

  toJSON(): Record<string, unknown> {
    const { id, audience, expiresAt, hint } = this
    return {
      id: id.toString(),
      audience,
      expiresAt: expiresAt.toISOString(),
      ...(hint === '' ? {} : { hint }),
      token: '[redacted]',
    }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { JwtSvid: this.toJSON() }
  }
}
