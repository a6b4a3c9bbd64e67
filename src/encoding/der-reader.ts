import { InvalidMaterialError } from '../errors/index.js'

/** Identifier octets of the ASN.1 types that X.509 uses. */
export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** One element: `bytes` is the whole of it, `contents` what follows the length. Both are views, not copies. */
export interface DerElement {
  readonly tag: number
  readonly bytes: Uint8Array
  readonly contents: Uint8Array
}

export function derFault(message: string, options?: { cause?: unknown }): InvalidMaterialError {
  return new InvalidMaterialError('ERR_DER_MALFORMED', message, options)
}

/**
 * Reads DER elements one after the other. Only what DER allows passes: definite and minimal lengths, one-octet tags,
 * nothing beyond the end. It never recurses; the caller enters as deep as the structure it expects.
 */
export class DerReader {
  readonly #bytes: Uint8Array
  readonly #end: number
  #at: number
  #contentsAt = 0
  #next = 0

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  /** Nothing is left to read. */
  atEnd(): boolean {
    return this.#at >= this.#end
  }

  /** Identifier octet of the next element, or `undefined` at the end. */
  peek(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined
  }

  /** Steps over the next element, which must have this tag, and returns a reader of its contents. */
  enter(tag: number, what: string): DerReader {
    this.#measure(tag, what)
    const inner = new DerReader(this.#bytes, this.#contentsAt, this.#next)
    this.#at = this.#next
    return inner
  }

  /** The contents of the next element, which must have this tag. */
  contents(tag: number, what: string): Uint8Array {
    this.#measure(tag, what)
    const contents = this.#bytes.subarray(this.#contentsAt, this.#next)
    this.#at = this.#next
    return contents
  }

  /** The next element as a whole, which must have this tag. */
  element(tag: number, what: string): Uint8Array {
    this.#measure(tag, what)
    const bytes = this.#bytes.subarray(this.#at, this.#next)
    this.#at = this.#next
    return bytes
  }

  /** The next element, whatever it is. */
  any(what: string): DerElement {
    const tag = this.#measure(undefined, what)
    const bytes = this.#bytes.subarray(this.#at, this.#next)
    const contents = this.#bytes.subarray(this.#contentsAt, this.#next)
    this.#at = this.#next
    return { tag, bytes, contents }
  }

  /** Refuses when anything is left. */
  finish(what: string): void {
    if (this.#at < this.#end) throw derFault(`${what}: ${this.#end - this.#at} bytes follow where nothing is due`)
  }

  boolean(what: string): boolean {
    const contents = this.contents(derTag.boolean, what)
    if (contents.length === 1 && contents[0] === 0xff) return true
    if (contents.length === 1 && contents[0] === 0x00) return false
    throw derFault(`${what}: a BOOLEAN is one octet, 00 or FF`)
  }

  /** Contents of an INTEGER, two's complement, shortest form. */
  integer(what: string, tag: number = derTag.integer): Uint8Array {
    const contents = this.contents(tag, what)
    checkInteger(contents, what)
    return contents
  }

  /** A non-negative INTEGER of at most six octets. */
  smallInteger(what: string, tag: number = derTag.integer): number {
    const contents = this.integer(what, tag)
    if (contents.length > 6 || (contents[0] ?? 0) & 0x80) throw derFault(`${what}: the INTEGER is out of range`)
    let value = 0
    for (const octet of contents) value = value * 256 + octet
    return value
  }

  oid(what: string): string {
    return readOid(this.contents(derTag.oid, what), what)
  }

  /** A BIT STRING of whole octets, as keys and signatures are. */
  octetAlignedBits(what: string): Uint8Array {
    const contents = this.contents(derTag.bitString, what)
    if (contents[0] !== 0) throw derFault(`${what}: the BIT STRING is not one of whole octets`)
    return contents.subarray(1)
  }

  /** A BIT STRING of named bits (at most 16): bit 0 is the lowest bit of the answer. */
  namedBits(what: string): number {
    const contents = this.contents(derTag.bitString, what)
    const unused = contents[0] ?? 8
    const last = contents.length > 1 ? (contents[contents.length - 1] ?? 0) : 0
    // X.690 11.2: the unused bits are zero, and trailing zero bits of a named-bit list are left out.
    const minimal = contents.length === 1 ? unused === 0 : (last & ((1 << (unused + 1)) - 1)) === 1 << unused
    if (unused > 7 || contents.length > 3 || !minimal) throw derFault(`${what}: not a BIT STRING of named bits`)
    let bits = 0
    for (let i = 0; i < (contents.length - 1) * 8; i++) {
      if ((contents[1 + (i >> 3)] ?? 0) & (0x80 >> (i & 7))) bits |= 1 << i
    }
    return bits
  }

  /** Sets `#contentsAt` and `#next` for the element at `#at`; returns its tag. */
  #measure(expected: number | undefined, what: string): number {
    const bytes = this.#bytes
    const at = this.#at
    const end = this.#end
    if (at >= end) throw derFault(`${what}: missing`)
    const tag = bytes[at] ?? 0
    if (expected !== undefined && tag !== expected) {
      throw derFault(`${what}: expected tag ${hex(expected)}, found ${hex(tag)}`)
    }
    if ((tag & 0x1f) === 0x1f) throw derFault(`${what}: tags of more than one octet are not used in X.509`)
    if (at + 1 >= end) throw derFault(`${what}: cut off`)
    const first = bytes[at + 1] ?? 0
    let length = first
    let contentsAt = at + 2
    if (first >= 0x80) {
      const octets = first & 0x7f
      if (octets === 0) throw derFault(`${what}: indefinite length`)
      if (octets > 4 || contentsAt + octets > end) throw derFault(`${what}: the length runs past the end`)
      length = 0
      for (let i = 0; i < octets; i++) length = length * 256 + (bytes[contentsAt + i] ?? 0)
      contentsAt += octets
      if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw derFault(`${what}: the length is not minimal`)
    }
    if (length > end - contentsAt) throw derFault(`${what}: the length runs past the end`)
    this.#contentsAt = contentsAt
    this.#next = contentsAt + length
    return tag
  }
}

export function checkInteger(contents: Uint8Array, what: string): void {
  const [first, second = 0] = contents
  if (first === undefined) throw derFault(`${what}: an INTEGER has at least one octet`)
  if (contents.length > 1 && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw derFault(`${what}: the INTEGER is not minimal`)
  }
}

/** Dotted form of an OBJECT IDENTIFIER's contents; arcs above 2^45 and more than 32 arcs are refused. */
export function readOid(contents: Uint8Array, what: string): string {
  const count = contents.length
  if (count === 0 || count > 64 || (contents[count - 1] ?? 0x80) & 0x80) throw derFault(`${what}: not an OID`)
  let text = ''
  let arc = 0
  let octets = 0
  for (const octet of contents) {
    if (octets === 0 && octet === 0x80) throw derFault(`${what}: an OID arc is not minimal`)
    if (++octets > 6) throw derFault(`${what}: an OID arc is too large`)
    arc = arc * 128 + (octet & 0x7f)
    if (octet & 0x80) continue
    if (text === '') {
      const root = arc < 80 ? Math.floor(arc / 40) : 2
      text = `${root}.${arc - root * 40}`
    } else text += `.${arc}`
    arc = 0
    octets = 0
  }
  return text
}

function hex(tag: number): string {
  return tag.toString(16).padStart(2, '0')
}
