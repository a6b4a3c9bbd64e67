import type { SpiffeId } from '../spiffe-id/index.js'

/** What the agent found in a JWT-SVID that it validated. */
export interface ValidatedJwtSvid {
  readonly id: SpiffeId
  /** The claims as the agent gave them. An ICP agent gives every value as text. */
  readonly claims: Readonly<Record<string, unknown>>
}
