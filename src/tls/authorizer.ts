import { types } from 'node:util'
import { InvalidInputError, UntrustedPeerError } from '../errors/index.js'
import { SpiffeId, TrustDomain } from '../spiffe-id/index.js'

/**
 * Decides whether a peer that has proved its SPIFFE ID may be talked to. Only the value `true` admits; anything else,
 * an error that is thrown included, refuses. It runs inside the handshake, so it is synchronous.
 */
export interface Authorizer {
  (id: SpiffeId): boolean
  /** Set when only IDs of this trust domain can pass; a client then loads that domain's bundle and no other. */
  readonly trustDomain?: TrustDomain | undefined
}

/** Who the peer may be: a function, or exactly this SPIFFE ID, or one of these. */
export type Authorize = Authorizer | string | SpiffeId | readonly (string | SpiffeId)[]

/** Admits every peer that proves an ID of any trust domain whose bundle the source holds. */
export function authorizeAny(): Authorizer {
  return () => true
}

/**
 * Admits exactly one SPIFFE ID.
 * @throws InvalidInputError with code `ERR_SPIFFE_ID_INVALID`.
 */
export function authorizeId(id: string | SpiffeId): Authorizer {
  return authorizeOneOf([id])
}

/**
 * Admits the listed SPIFFE IDs and no other.
 * @throws InvalidInputError with code `ERR_SPIFFE_ID_INVALID`, or `ERR_AUTHORIZER_INVALID` for an empty list.
 */
export function authorizeOneOf(ids: readonly (string | SpiffeId)[]): Authorizer {
  const allowed = ids.map((id) => (id instanceof SpiffeId ? id : SpiffeId.parse(id)))
  const first = allowed[0]
  if (!first) {
    throw new InvalidInputError('ERR_AUTHORIZER_INVALID', 'the list of SPIFFE IDs is empty, so it would admit nobody')
  }
  const texts = new Set(allowed.map(String))
  const oneDomain = allowed.every((id) => id.isMemberOf(first.trustDomain))
  return bindTrustDomain((id) => texts.has(id.toString()), oneDomain ? first.trustDomain : undefined)
}

/**
 * Admits every SPIFFE ID of one trust domain.
 * @param trustDomain - `example.org`, `spiffe://example.org` or a {@link TrustDomain}.
 * @throws InvalidInputError with code `ERR_TRUST_DOMAIN_INVALID`.
 */
export function authorizeMemberOf(trustDomain: string | TrustDomain): Authorizer {
  const domain = trustDomain instanceof TrustDomain ? trustDomain : TrustDomain.parse(trustDomain)
  return bindTrustDomain((id) => id.isMemberOf(domain), domain)
}

/**
 * Reads the option `authorize` once, at set-up.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED` when it is absent, `ERR_AUTHORIZER_INVALID` when it
 * could never decide in time, `ERR_SPIFFE_ID_INVALID` when a text is not a SPIFFE ID.
 */
export function toAuthorizer(authorize: Authorize | undefined): Authorizer {
  const given: unknown = authorize
  if (given === undefined || given === null) {
    throw new InvalidInputError(
      'ERR_AUTHORIZER_REQUIRED',
      "say who the peer may be, for example { authorize: 'spiffe://example.org/payments' }; " +
        'to admit every proved peer write { authorize: authorizeAny() }',
    )
  }
  if (typeof authorize === 'string' || authorize instanceof SpiffeId) return authorizeId(authorize)
  if (Array.isArray(authorize)) return authorizeOneOf(authorize as readonly (string | SpiffeId)[])
  if (typeof authorize !== 'function') {
    throw new InvalidInputError(
      'ERR_AUTHORIZER_INVALID',
      `authorize takes a SPIFFE ID, a list of them or a function; it is of type ${typeof authorize}`,
    )
  }
  if (types.isAsyncFunction(authorize) || types.isGeneratorFunction(authorize)) {
    throw new InvalidInputError(
      'ERR_AUTHORIZER_INVALID',
      'the authorizer is asynchronous; it decides inside the TLS handshake, so it must return true or false at once',
    )
  }
  if (factories.has(authorize)) {
    throw new InvalidInputError(
      'ERR_AUTHORIZER_INVALID',
      `${authorize.name} makes an authorizer and was not called; write authorize: ${authorize.name}(…)`,
    )
  }
  return authorize
}

/** Asks the authorizer about a proved ID; returns why it refuses, or `undefined` when it admits. Never throws. */
export function judge(authorizer: Authorizer, id: SpiffeId): UntrustedPeerError | undefined {
  let verdict: unknown
  try {
    verdict = authorizer(id)
  } catch (cause) {
    return refusal(`the authorizer threw when asked about ${id.toString()}`, { cause })
  }
  if (verdict === true) return undefined
  if (types.isPromise(verdict)) {
    // Its outcome comes too late to matter, and a rejection nobody listens to would end the process.
    verdict.catch(() => undefined)
    return refusal(`the authorizer answered with a promise when asked about ${id.toString()}; only true admits`)
  }
  return refusal(`${id.toString()} proved its identity and is not authorized here`)
}

const factories = new Set<unknown>([authorizeAny, authorizeId, authorizeOneOf, authorizeMemberOf])

function refusal(message: string, options?: { cause: unknown }): UntrustedPeerError {
  return new UntrustedPeerError('ERR_PEER_NOT_AUTHORIZED', message, options)
}

function bindTrustDomain(decide: (id: SpiffeId) => boolean, trustDomain: TrustDomain | undefined): Authorizer {
  return trustDomain ? Object.assign(decide, { trustDomain }) : decide
}
