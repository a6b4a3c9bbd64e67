import type { SpiffeId } from '../../spiffe-id/index.js'
import type { ValidatedJwt } from './jwt-validation.js'

/** Where the JWT calls of both dialects go. */
export interface TokenDesk {
  /** A JWT-SVID for the subject with exactly these audiences. */
  readonly sign: (subject: SpiffeId, audience: readonly string[]) => Promise<string>
  /** Rejects with the reason when the token is not valid for the audience now. */
  readonly validate: (token: string, audience: string) => Promise<ValidatedJwt>
}
