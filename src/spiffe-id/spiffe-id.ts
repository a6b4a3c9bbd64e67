import { InvalidInputError } from '../errors/index.js'
import { isSegmentChar, show } from './charset.js'
import { findNameFault, TrustDomain } from './trust-domain.js'

const scheme = 'spiffe://'
const slash = 0x2f
const dot = 0x2e

// §2.3: 2048 bytes have to be read and must not be exceeded by who makes IDs. Some more is read, not without bound.
const maxBuiltBytes = 2048
const maxParsedBytes = 8192

/** A SPIFFE ID: a trust domain and a path within it. Immutable, compared character by character. */
export class SpiffeId {
  readonly trustDomain: TrustDomain
  /** Empty for the ID of the trust domain itself, else `/` and segments: `/ns/prod/sa/web`. */
  readonly path: string
  readonly #text: string

  private constructor(trustDomain: TrustDomain, path: string, text: string) {
    this.trustDomain = trustDomain
    this.path = path
    this.#text = text
    Object.freeze(this)
  }

  /**
   * Reads a SPIFFE ID. Nothing is trimmed, decoded or folded: what is not exactly a SPIFFE ID is refused.
   * @throws InvalidInputError with code `ERR_SPIFFE_ID_INVALID`.
   * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#2-spiffe-identity
   */
  static parse(text: string): SpiffeId {
    if (typeof text !== 'string') throw fault(`expected a string, found ${typeof text}`)
    if (!text.startsWith(scheme)) throw fault("expected text that starts with 'spiffe://'")
    if (text.length > maxParsedBytes) throw fault(`${text.length} characters are more than ${maxParsedBytes}`)
    const nameStart = scheme.length
    const firstSlash = text.indexOf('/', nameStart)
    const nameEnd = firstSlash < 0 ? text.length : firstSlash
    const reason = findNameFault(text, nameStart, nameEnd) ?? findPathFault(text, nameEnd)
    if (reason !== undefined) throw fault(reason)
    return new SpiffeId(TrustDomain.fromChecked(text.slice(nameStart, nameEnd)), text.slice(nameEnd), text)
  }

  /** Reads the raw octets of a URI subject alternative name. */
  static parseBytes(raw: Uint8Array): SpiffeId {
    if (raw.length > maxParsedBytes) throw fault(`${raw.length} bytes are more than ${maxParsedBytes}`)
    // latin1 maps each octet to one character, so nothing outside ASCII can turn into something that is allowed.
    return SpiffeId.parse(Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('latin1'))
  }

  /**
   * Builds an ID of path segments, none of which may hold a slash: `fromSegments(td, 'ns', 'prod')`.
   * @throws InvalidInputError with code `ERR_SPIFFE_ID_INVALID`, also when the ID would be longer than 2048 bytes.
   */
  static fromSegments(trustDomain: TrustDomain, ...segments: readonly string[]): SpiffeId {
    for (const segment of segments) {
      if (typeof segment !== 'string') throw fault('a path segment is a string')
      if (segment.includes('/')) throw fault('a path segment holds no slash; pass several segments')
    }
    return SpiffeId.fromPath(trustDomain, segments.map((segment) => `/${segment}`).join(''))
  }

  /** Builds an ID of a path: empty, or `/` and segments. */
  static fromPath(trustDomain: TrustDomain, path: string): SpiffeId {
    if (!(trustDomain instanceof TrustDomain)) throw fault('expected a TrustDomain; TrustDomain.parse makes one')
    if (typeof path !== 'string') throw fault('expected the path as a string')
    const reason = findPathFault(path, 0)
    if (reason !== undefined) throw fault(reason)
    const text = trustDomain.idString + path
    if (text.length > maxBuiltBytes) throw fault(`the ID would have ${text.length} bytes; ${maxBuiltBytes} are allowed`)
    return new SpiffeId(trustDomain, path, text)
  }

  /** This ID with more path: `append('/db')`. */
  append(path: string): SpiffeId {
    // The slash is what keeps `append('x')` from changing the last segment.
    if (typeof path !== 'string' || !path.startsWith('/')) throw fault("expected a path to append, such as '/db'")
    return SpiffeId.fromPath(this.trustDomain, this.path + path)
  }

  /** This ID with another path in place of its own. */
  withPath(path: string): SpiffeId {
    return SpiffeId.fromPath(this.trustDomain, path)
  }

  isMemberOf(trustDomain: TrustDomain): boolean {
    return this.trustDomain.name === trustDomain.name
  }

  equals(other: SpiffeId): boolean {
    return this.#text === other.toString()
  }

  toString(): string {
    return this.#text
  }

  toJSON(): string {
    return this.#text
  }
}

/** What keeps `text` from `start` on from being a path; `undefined` when nothing does. */
function findPathFault(text: string, start: number): string | undefined {
  if (start === text.length) return undefined
  if (text.charCodeAt(start) !== slash) return "a path starts with '/'"
  let segmentStart = start + 1
  let onlyDots = true
  for (let at = segmentStart; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : slash
    if (code === slash) {
      const length = at - segmentStart
      if (length === 0) return at === text.length ? "a path does not end in '/'" : 'a path segment is empty'
      if (onlyDots && length <= 2) return "'.' and '..' are no path segments"
      segmentStart = at + 1
      onlyDots = true
      continue
    }
    if (!isSegmentChar(code)) {
      return `a path segment has only a-z, A-Z, 0-9, '.', '-' and '_'; found ${show(text, at)} at position ${at}`
    }
    if (code !== dot) onlyDots = false
  }
  return undefined
}

function fault(message: string): InvalidInputError {
  return new InvalidInputError('ERR_SPIFFE_ID_INVALID', message)
}
