import { JwtBundle, JwtBundleSet } from '../../bundle/index.js'
import { SpiffeError, UntrustedPeerError } from '../../errors/index.js'
import { SpiffeId, type TrustDomain } from '../../spiffe-id/index.js'
import { JwtSvid } from '../../svid/index.js'
import type { JwtEntry, ValidatedMessage } from '../dialects/dialect.js'
import type { CompleteLimits } from '../limits.js'
import type { ValidatedJwtSvid } from '../validated-jwt-svid.js'
import { decodeBundleMap } from './bundles.js'
import { selectByHint } from './hints.js'
import { unusable, within } from './unusable.js'
import type { Decoded } from './x509-context.js'

/** How far the clock of an issuer may be ahead. */
const toleratedMs = 60_000

export interface JwtRequest {
  readonly audience: readonly string[]
  readonly spiffeId: SpiffeId | undefined
}

function decodeJwtSvid(entry: JwtEntry, hint: string, which: string, request: JwtRequest, now: Date): JwtSvid {
  if (entry.spiffeId === '') throw unusable(`${which} has no spiffe_id`)
  if (entry.svid === '') throw unusable(`${which} has no svid`)
  const id = within(which, () => SpiffeId.parse(entry.spiffeId))
  const svid = within(`the token of ${which}`, () => JwtSvid.parseUnverified(entry.svid, { hint }))
  if (!svid.id.equals(id)) {
    throw unusable(`${which} is announced as ${entry.spiffeId}, its token is of another subject`)
  }
  if (request.spiffeId && !request.spiffeId.equals(id)) {
    throw unusable(`${which} is of ${entry.spiffeId}, asked for was ${request.spiffeId.toString()}`)
  }
  const missing = request.audience.find((value) => !svid.audience.includes(value))
  if (missing !== undefined)
    throw unusable(`${which} is not for the audience ${JSON.stringify(missing)} that was asked for`)
  if (svid.isExpired(now)) throw unusable(`${which} expired already; check the agent and both clocks`)
  return svid
}

/** What FetchJWTSVID answered: the default identity first, every token what was asked for. */
export function decodeJwtSvids(
  entries: readonly JwtEntry[],
  request: JwtRequest,
  limits: CompleteLimits,
  now: Date,
): JwtSvid[] {
  if (entries.length === 0) throw unusable('it holds no SVID')
  if (entries.length > limits.maxSvids)
    throw unusable(`it holds ${entries.length} SVIDs, more than ${limits.maxSvids} (maxSvids)`)
  return selectByHint(entries).selected.map(({ entry, place, hint }) =>
    decodeJwtSvid(entry, hint, `SVID ${place} of ${entries.length}`, request, now),
  )
}

/** What FetchJWTBundles answered. Empty bytes are a trust domain of which nothing is trusted. */
export function decodeJwtBundles(
  bundles: ReadonlyMap<string, Uint8Array>,
  limits: CompleteLimits,
): Decoded<JwtBundleSet> {
  const { decoded, warnings } = decodeBundleMap(
    bundles,
    limits,
    (trustDomain, bytes) =>
      bytes.length === 0
        ? emptyJwtBundle(trustDomain)
        : within(`JWT bundle of ${trustDomain.name}`, () =>
            JwtBundle.parse(trustDomain, bytes, limits.maxKeysPerBundle),
          ),
    emptyJwtBundle,
  )
  return { value: new JwtBundleSet(decoded), warnings }
}

function emptyJwtBundle(trustDomain: TrustDomain): JwtBundle {
  return JwtBundle.fromAuthorities(trustDomain, [])
}

/**
 * What a standard agent found in a token. The agent's word counts: nothing is taken from the token itself.
 * @throws InvalidMaterialError when the answer lacks what it must have.
 */
export function decodeValidated({ spiffeId, claims }: ValidatedMessage): ValidatedJwtSvid {
  if (spiffeId === '') throw unusable('it has no spiffe_id')
  if (!claims) throw unusable('it has no claims')
  const id = within('spiffe_id', () => SpiffeId.parse(spiffeId))
  if (claims['sub'] !== undefined && claims['sub'] !== spiffeId)
    throw unusable('its spiffe_id is not the sub of its claims')
  return { id, claims }
}

/**
 * What an ICP agent found in a token, believed only as far as it can be: that agent answers OK for an invalid token
 * (without a SPIFFE ID) and for the wrong audience (without claims), so the token itself has to agree in everything.
 * @throws UntrustedPeerError with the code of what does not agree.
 */
export function decodeIcpValidated(
  { spiffeId, claims }: ValidatedMessage,
  token: string,
  audience: string,
  now: Date,
): ValidatedJwtSvid {
  if (spiffeId === '') throw new UntrustedPeerError('ERR_JWT_SVID_SIGNATURE', 'the agent did not accept the JWT-SVID')
  const read = readPeerToken(token)
  if (read.id.toString() !== spiffeId) {
    throw new UntrustedPeerError(
      'ERR_JWT_SVID_MALFORMED',
      'the agent answered for another subject than that of the JWT-SVID',
    )
  }
  if (!read.audience.includes(audience)) {
    throw new UntrustedPeerError('ERR_JWT_SVID_AUDIENCE', `the JWT-SVID is not meant for ${JSON.stringify(audience)}`)
  }
  if (read.isExpired(now)) {
    throw new UntrustedPeerError('ERR_JWT_SVID_EXPIRED', `the JWT-SVID expired at ${read.expiresAt.toISOString()}`)
  }
  const notBefore = read.claims['nbf']
  if (typeof notBefore === 'number' && notBefore * 1000 > now.getTime() + toleratedMs) {
    throw new UntrustedPeerError('ERR_JWT_SVID_NOT_YET_VALID', 'the JWT-SVID is not valid yet by its nbf')
  }
  if (!claims) throw new UntrustedPeerError('ERR_JWT_SVID_AUDIENCE', 'the agent gave no claims for the JWT-SVID')
  return { id: read.id, claims }
}

/** To compare the agent's answer with, never to trust it. */
function readPeerToken(token: string): JwtSvid {
  try {
    return JwtSvid.parseUnverified(token)
  } catch (cause) {
    if (!(cause instanceof SpiffeError)) throw cause
    throw new UntrustedPeerError(cause.code, cause.message, { cause })
  }
}
