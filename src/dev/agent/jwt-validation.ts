import { JwtBundle, type JwtBundleSource } from '../../bundle/index.js'
import type { SpiffeId } from '../../spiffe-id/index.js'
import { verifyJwtSvid } from '../../svid/index.js'
import type { JwtKey } from './jwt-authority.js'

export interface ValidatedJwt {
  readonly id: SpiffeId
  /** As in the token, with `aud` always a list. */
  readonly claims: Readonly<Record<string, unknown>>
}

/**
 * Validates a JWT-SVID for an audience with the keys of its subject's trust domain, by the agent's own clock.
 * @param keysOf - The keys of a trust domain by its name; `undefined` when it is unknown.
 * @throws UntrustedPeerError whose message says why, without the token, when it is not valid.
 */
export async function validateJwt(
  token: string,
  audience: string,
  keysOf: (trustDomain: string) => readonly JwtKey[] | undefined,
  now: Date,
): Promise<ValidatedJwt> {
  const bundles: JwtBundleSource = {
    getJwtBundle(trustDomain) {
      const keys = keysOf(trustDomain.name)
      return keys && JwtBundle.parse(trustDomain, JSON.stringify({ keys }))
    },
  }
  // Issuer and validator have one clock here, so there is no skew to allow for.
  const verified = await verifyJwtSvid(token, bundles, { audience, now, clockSkewMs: 0 })
  return { id: verified.id, claims: { ...verified.claims, aud: verified.audience } }
}
