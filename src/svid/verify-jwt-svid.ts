import type { decodeJwt, decodeProtectedHeader } from 'jose'
import type { JwtAuthority, JwtBundleSource } from '../bundle/index.js'
import { InvalidInputError, SpiffeError, UntrustedPeerError, type SpiffeErrorCode } from '../errors/index.js'
import { expectMs } from '../flow/index.js'
import type { SpiffeId } from '../spiffe-id/index.js'
import { readJwtToken, type JwtClaims, type JwtHeader, type JwtToken } from './jwt-token.js'

// Node.js takes headers of 16 KiB in all.
const defaultMaxBytes = 16 * 1024
const defaultClockSkewMs = 60_000
/** A token that names no key is tried with each that fits; each costs a signature check. */
const maxCandidates = 16

export interface VerifyJwtSvidOptions {
  /** Who we are to those who show tokens: one of these has to be in the token's `aud`. */
  audience: string | readonly string[]
  /** The time to verify for. Default the current time. */
  now?: Date | undefined
  /** How far the issuer's clock may be off, in milliseconds, at `exp` and at `nbf`. Default 60 000. */
  clockSkewMs?: number | undefined
  /** Longest token that is read, in bytes. Default 16 384. */
  maxBytes?: number | undefined
}

/** What {@link verifyJwtSvid} proved. Immutable. */
export interface VerifiedJwtSvid {
  readonly id: SpiffeId
  /** All audiences of the token. */
  readonly audience: readonly string[]
  readonly expiresAt: Date
  /** All claims of the token, `sub`, `aud` and `exp` as they were written. */
  readonly claims: JwtClaims
}

interface Expectation {
  readonly audiences: readonly string[]
  readonly nowMs: number
  readonly clockSkewMs: number
  readonly maxBytes: number
}

let jose: { decodeProtectedHeader: typeof decodeProtectedHeader; decodeJwt: typeof decodeJwt } | undefined

/**
 * Proves that a token is a JWT-SVID, meant for us, signed by an authority of its subject's own trust domain.
 * @param token - JWS in its compact form, nothing before or behind it.
 * @param bundles - Authorities by trust domain; only the subject's domain is consulted.
 * @throws UntrustedPeerError with code `ERR_JWT_SVID_MALFORMED`, `ERR_BUNDLE_NOT_FOUND`, `ERR_AUTHORITY_NOT_FOUND`,
 *   `ERR_JWT_SVID_SIGNATURE`, `ERR_JWT_SVID_AUDIENCE`, `ERR_JWT_SVID_EXPIRED` or `ERR_JWT_SVID_NOT_YET_VALID`;
 *   InvalidInputError for an option. No message holds the token.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md#4-jwt-svid-signing-and-validation
 */
export async function verifyJwtSvid(
  token: string,
  bundles: JwtBundleSource,
  options: VerifyJwtSvidOptions,
): Promise<VerifiedJwtSvid> {
  const expected = readOptions(options)
  const read = readPeerToken(token, expected.maxBytes)
  jose ??= await import('jose')
  assertAgreement(token, read)
  assertSigned(read, findCandidates(read, bundles))
  assertMeantForUs(read, expected.audiences)
  assertTime(read, expected)
  const { id, audience, expiresAtMs, claims } = read
  return Object.freeze({ id, audience, expiresAt: new Date(expiresAtMs), claims })
}

/** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT`. */
export function expectClockSkew(clockSkewMs: unknown): number {
  return expectMs('clockSkewMs', clockSkewMs, 0, Number.MAX_SAFE_INTEGER)
}

function readOptions(options: VerifyJwtSvidOptions): Expectation {
  const { audience, now, maxBytes = defaultMaxBytes } = options
  const clockSkewMs = expectClockSkew(options.clockSkewMs ?? defaultClockSkewMs)
  const audiences = typeof audience === 'string' ? [audience] : audience
  // JWT-SVID appendix A: whoever validates has at least one audience; without one any token would do.
  if (
    !Array.isArray(audiences) ||
    audiences.length === 0 ||
    !audiences.every((one) => typeof one === 'string' && one)
  ) {
    throw invalid('expected audience to name at least one audience that tokens for us carry, none of them empty')
  }
  const nowMs = now?.getTime() ?? Date.now()
  if (Number.isNaN(nowMs)) throw invalid('expected `now` to be a valid date')
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) {
    throw invalid(`expected maxBytes to be a positive whole number, found ${maxBytes}`)
  }
  return { audiences, nowMs, clockSkewMs, maxBytes }
}

function readPeerToken(token: string, maxBytes: number): JwtToken {
  try {
    return readJwtToken(token, maxBytes)
  } catch (cause) {
    if (!(cause instanceof SpiffeError)) throw cause
    throw new UntrustedPeerError(cause.code, cause.message, { cause })
  }
}

/** Those that jose reads as we do. */
const agreedHeaders = new WeakSet<JwtHeader>()

/**
 * What is a JWS and a claims set is for jose to say: whatever it would not read, or would read differently, is refused.
 *
 * The signature is checked without it: its way leads through WebCrypto, and a token then costs 111 µs of CPU for ES256
 * before any check of ours, against 72 with `crypto.verify`. So all of this costs three quarters of bare jose
 * (`npm run bench -- identity`), some 2 µs of it for this second opinion.
 */
function assertAgreement(token: string, { header, id }: JwtToken): void {
  let agrees: boolean | undefined
  try {
    if (!agreedHeaders.has(header)) {
      const { alg, kid } = jose?.decodeProtectedHeader(token) ?? {}
      if (alg === header.algorithm.name && kid === header.keyId) agreedHeaders.add(header)
    }
    agrees = agreedHeaders.has(header) && jose?.decodeJwt(token).sub === id.toString()
  } catch {
    agrees = false
  }
  // No cause: a parser may quote what it read.
  if (!agrees) throw refused('ERR_JWT_SVID_MALFORMED', 'the text is not a JWT-SVID: jose does not read it so')
}

/** The keys of the subject's own trust domain that the token may be signed with. */
function findCandidates(
  { id, header: { keyId, algorithm } }: JwtToken,
  bundles: JwtBundleSource,
): readonly JwtAuthority[] {
  const { trustDomain } = id
  const bundle = bundles.getJwtBundle(trustDomain)
  if (!bundle?.trustDomain.equals(trustDomain)) {
    throw refused('ERR_BUNDLE_NOT_FOUND', `there is no JWT bundle for the trust domain ${trustDomain.name}`)
  }
  // A key ID that names no key is an answer too: no other key is tried then.
  const candidates = bundle.find(keyId).filter(({ publicKey }) => algorithm.fits(publicKey))
  if (candidates.length === 0) {
    const which = keyId === undefined ? 'no key' : 'no key with the ID that the token names'
    throw notFound(id, `the JWT bundle of ${trustDomain.name} has ${which} for ${algorithm.name}`)
  }
  if (candidates.length > maxCandidates) {
    const { length } = candidates
    throw notFound(id, `${length} keys of ${trustDomain.name} could have signed it; ${maxCandidates} are tried`)
  }
  return candidates
}

function assertSigned({ id, header, signed, signature }: JwtToken, candidates: readonly JwtAuthority[]): void {
  const { algorithm } = header
  const bytes = Buffer.from(signed, 'latin1')
  if (candidates.some(({ publicKey }) => algorithm.verifies(bytes, signature, publicKey))) return
  throw refused('ERR_JWT_SVID_SIGNATURE', `the JWT-SVID of ${id.toString()} is not signed by its trust domain`)
}

function assertMeantForUs({ id, audience }: JwtToken, expected: readonly string[]): void {
  if (audience.some((value) => expected.includes(value))) return
  const wanted = expected.map((value) => JSON.stringify(value)).join(' or ')
  throw refused('ERR_JWT_SVID_AUDIENCE', `the JWT-SVID of ${id.toString()} is not meant for ${wanted}`)
}

function assertTime({ id, expiresAtMs, notBeforeMs }: JwtToken, { nowMs, clockSkewMs }: Expectation): void {
  // Both written so that only a time that is known to be good passes.
  if (!(expiresAtMs > nowMs - clockSkewMs)) {
    const when = new Date(expiresAtMs).toISOString()
    throw refused('ERR_JWT_SVID_EXPIRED', `the JWT-SVID of ${id.toString()} expired at ${when}`)
  }
  if (notBeforeMs !== undefined && !(notBeforeMs <= nowMs + clockSkewMs)) {
    const when = new Date(notBeforeMs).toISOString()
    throw refused('ERR_JWT_SVID_NOT_YET_VALID', `the JWT-SVID of ${id.toString()} is valid from ${when} on`)
  }
}

function notFound(id: SpiffeId, reason: string): UntrustedPeerError {
  return refused('ERR_AUTHORITY_NOT_FOUND', `the JWT-SVID of ${id.toString()} is not proved: ${reason}`)
}

function refused(code: SpiffeErrorCode, message: string): UntrustedPeerError {
  return new UntrustedPeerError(code, message)
}

function invalid(message: string): InvalidInputError {
  return new InvalidInputError('ERR_INVALID_ARGUMENT', message)
}
