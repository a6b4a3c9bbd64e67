import { InvalidInputError } from '../errors/index.js'
import { isNameChar, show } from './charset.js'

const scheme = 'spiffe://'
const maxBytes = 255

let last: TrustDomain | undefined

/** A trust domain: the name under which one authority issues identities. Immutable. */
export class TrustDomain {
  /** The bare name, for instance `example.org`. */
  readonly name: string

  private constructor(name: string) {
    this.name = name
    Object.freeze(this)
  }

  /**
   * Reads a trust domain name, `example.org`, or its SPIFFE ID, `spiffe://example.org`. Nothing is repaired: case, dots
   * and everything else stand as they are.
   * @throws InvalidInputError with code `ERR_TRUST_DOMAIN_INVALID`.
   * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#21-trust-domain
   */
  static parse(text: string): TrustDomain {
    if (typeof text !== 'string') throw fault(`expected a string, found ${typeof text}`)
    const start = text.startsWith(scheme) ? scheme.length : 0
    const reason = findNameFault(text, start, text.length)
    if (reason !== undefined) throw fault(reason)
    return new TrustDomain(start === 0 ? text : text.slice(start))
  }

  /** @internal For the parser of whole IDs, which has checked the name already. One ID in a row is often like the last. */
  static fromChecked(name: string): TrustDomain {
    if (last?.name !== name) last = new TrustDomain(name)
    return last
  }

  /** The SPIFFE ID of the trust domain itself, `spiffe://example.org`. */
  get idString(): string {
    return scheme + this.name
  }

  equals(other: TrustDomain): boolean {
    return this.name === other.name
  }

  /** Byte order of the names: -1, 0 or 1. */
  compareTo(other: TrustDomain): number {
    return this.name < other.name ? -1 : this.name > other.name ? 1 : 0
  }

  toString(): string {
    return this.name
  }

  toJSON(): string {
    return this.name
  }
}

/** What keeps `text` from `start` to `end` from being a trust domain name; `undefined` when nothing does. */
export function findNameFault(text: string, start: number, end: number): string | undefined {
  if (end === start) return 'the trust domain name is empty'
  if (end - start > maxBytes) return `the trust domain name has ${end - start} bytes; ${maxBytes} are allowed`
  for (let at = start; at < end; at++) {
    if (!isNameChar(text.charCodeAt(at))) {
      return `a trust domain name has only a-z, 0-9, '.', '-' and '_'; found ${show(text, at)} at position ${at}`
    }
  }
  return undefined
}

function fault(message: string): InvalidInputError {
  return new InvalidInputError('ERR_TRUST_DOMAIN_INVALID', message)
}
