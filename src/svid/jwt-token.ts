import { base64urlDecode, JsonNumber, parseStrictJson, type JsonObject, type JsonValue } from '../encoding/index.js'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import { SpiffeId } from '../spiffe-id/index.js'
import { jwtAlgorithms, type JwtAlgorithm } from './jwt-algorithm.js'

/** The last moment that a `Date` can name. */
const lastDateMs = 8.64e15

/** Claims of a JWT-SVID, frozen through and through, without prototypes: no name of a claim is special. */
export type JwtClaims = Readonly<Record<string, unknown>>

/** What a header says. */
export interface JwtHeader {
  readonly algorithm: JwtAlgorithm
  readonly keyId: string | undefined
}

/** What a token says. Its signature has not been looked at. */
export interface JwtToken {
  /** The same object for the same text, while that is among the last few. */
  readonly header: JwtHeader
  readonly id: SpiffeId
  readonly audience: readonly string[]
  readonly expiresAtMs: number
  readonly notBeforeMs: number | undefined
  readonly claims: JwtClaims
  /** What the signature is over. */
  readonly signed: string
  readonly signature: Uint8Array
}

/**
 * Reads a JWT-SVID and checks everything about it that needs neither key, clock nor audience: the one profile for tokens
 * that the agent issues and for those of others.
 * @throws InvalidMaterialError with code `ERR_JWT_SVID_MALFORMED`, whose message holds nothing of the token but names.
 */
export function readJwtToken(token: string, maxBytes: number): JwtToken {
  if (typeof token !== 'string') throw fault(`expected a string, found ${typeof token}`)
  if (token.length > maxBytes) throw fault(`${token.length} characters are more than ${maxBytes} (maxBytes)`)
  const [header, payload, signature, ...more] = token.split('.')
  if (!header || !payload || !signature || more.length > 0) {
    throw fault('expected the compact form of a JWS: three parts, none of them empty')
  }
  // The header is read first: JWT-SVID §4 wants the algorithm judged before anything else is looked at.
  const read = knownHeaders.get(header) ?? readHeader(header)
  const claims = decodeObject('payload', payload)
  return {
    header: read,
    id: readSubject(claims.get('sub')),
    audience: readAudience(claims.get('aud')),
    ...readTimes(claims),
    claims: toPlain(claims) as JwtClaims,
    signed: token.slice(0, header.length + 1 + payload.length),
    signature: decodePart('signature', signature),
  }
}

/** Tokens of one key have one header, so what was read of the last few texts is kept. */
const knownHeaders = new Map<string, JwtHeader>()
const maxKnownHeaders = 32
const maxKnownLength = 512

/** JWT-SVID §2. */
function readHeader(text: string): JwtHeader {
  const header = decodeObject('header', text)
  const alg = header.get('alg')
  const algorithm = typeof alg === 'string' ? jwtAlgorithms.get(alg) : undefined
  if (!algorithm) throw fault(`expected alg to be one of ${[...jwtAlgorithms.keys()].join(', ')}${found(alg)}`)
  const typ = header.get('typ')
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw fault(`expected typ to be JWT or JOSE${found(typ)}`)
  // §2: no other member may be there, so crit, jwk, jku, x5u and b64 have no way in.
  for (const name of header.keys()) {
    if (name !== 'alg' && name !== 'kid' && name !== 'typ') {
      throw fault(`expected nothing but alg, kid and typ in the header${found(name)}`)
    }
  }
  const keyId = header.get('kid')
  if (keyId !== undefined && (typeof keyId !== 'string' || keyId === '')) throw fault('its kid is empty or no string')
  const read = Object.freeze({ algorithm, keyId })
  if (text.length <= maxKnownLength) {
    // Whoever sends many different headers only makes the next ones cost as much as without this.
    if (knownHeaders.size >= maxKnownHeaders) knownHeaders.clear()
    // A copy: the text is a part of the token, and would keep all of that in memory.
    knownHeaders.set(Buffer.from(text, 'latin1').toString('latin1'), read)
  }
  return read
}

function readSubject(sub: JsonValue | undefined): SpiffeId {
  if (typeof sub !== 'string') throw fault('expected sub to be a SPIFFE ID')
  try {
    return SpiffeId.parse(sub)
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error
    throw fault(`sub is no SPIFFE ID: ${error.message}`)
  }
}

/** RFC 7519 §4.1.3: one text, or a list of them. JWT-SVID §3.2: at least one. */
function readAudience(aud: JsonValue | undefined): readonly string[] {
  const values: unknown[] = Array.isArray(aud) ? aud : [aud]
  if (values.length === 0 || !values.every((value) => typeof value === 'string' && value !== '')) {
    throw fault('expected aud to be one or more texts, none of them empty')
  }
  return Object.freeze(values as string[])
}

function readTimes(claims: JsonObject): { expiresAtMs: number; notBeforeMs: number | undefined } {
  const expiresAtMs = readTime('exp', claims)
  if (expiresAtMs === undefined) throw fault('it has no exp')
  // When it was issued is no reason to refuse it; that it says so with something else than a number is.
  readTime('iat', claims)
  return { expiresAtMs, notBeforeMs: readTime('nbf', claims) }
}

/** RFC 7519 §2, NumericDate: seconds, also fractions of them. */
function readTime(name: string, claims: JsonObject): number | undefined {
  const value = claims.get(name)
  if (value === undefined) return undefined
  const ms = value instanceof JsonNumber ? Number(value.text) * 1000 : NaN
  if (!(Math.abs(ms) <= lastDateMs)) throw fault(`expected ${name} to be a number of seconds`)
  return ms
}

function decodeObject(part: string, text: string): JsonObject {
  let value: JsonValue
  try {
    value = parseStrictJson(decodePart(part, text))
  } catch (error) {
    // No cause: a parser may quote what it read.
    if (error instanceof SyntaxError) throw fault(`the ${part} is not JSON as it has to be: ${error.message}`)
    throw error
  }
  if (!(value instanceof Map)) throw fault(`the ${part} is not a JSON object`)
  return value as JsonObject
}

function decodePart(part: string, text: string): Uint8Array {
  try {
    return base64urlDecode(text)
  } catch {
    throw fault(`the ${part} is not base64url in its canonical spelling`)
  }
}

/** The parser has bounded the depth. */
function toPlain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return Number(value.text)
  if (Array.isArray(value)) return Object.freeze(value.map(toPlain))
  if (!(value instanceof Map)) return value
  const object = Object.create(null) as Record<string, unknown>
  for (const [name, member] of value as JsonObject) object[name] = toPlain(member)
  return Object.freeze(object)
}

/** Short words only: whatever is longer may be anything. */
function found(value: JsonValue | undefined): string {
  if (value === undefined) return ', found none'
  return typeof value === 'string' && /^[\w+./-]{0,20}$/.test(value) ? `, found ${JSON.stringify(value)}` : ''
}

function fault(reason: string): InvalidMaterialError {
  return new InvalidMaterialError('ERR_JWT_SVID_MALFORMED', `the text is not a JWT-SVID: ${reason}`)
}
