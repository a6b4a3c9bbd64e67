import { InvalidMaterialError } from '../../errors/index.js'

/** No message of ours comes near these; they bound what a hostile or broken peer can make us build. */
const maxDepth = 32
const maxFields = 1_000_000

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function malformed(what: string): InvalidMaterialError {
  return new InvalidMaterialError(
    'ERR_WORKLOAD_API_RESPONSE_INVALID',
    `the message is not the protobuf that was expected: ${what}`,
  )
}

/** What a reader and the readers of its embedded messages share. */
interface Budget {
  fields: number
}

/**
 * Reads protobuf strictly: a known field with another wire type, text that is not UTF-8, a length past the end, a group
 * or a number with too many bytes refuses the whole message. Unknown fields are skipped.
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #budget: Budget
  readonly #depth: number
  #at = 0
  #field = 0
  #wireType = 0

  constructor(bytes: Uint8Array, budget: Budget = { fields: maxFields }, depth = 0) {
    this.#bytes = bytes
    this.#budget = budget
    this.#depth = depth
  }

  /** Number of the field that {@link next} arrived at. */
  get field(): number {
    return this.#field
  }

  /** Goes to the next field; false at the end. */
  next(): boolean {
    if (this.#at === this.#bytes.length) return false
    if (--this.#budget.fields < 0) throw malformed(`more than ${maxFields} fields`)
    const tag = this.#varint()
    if (tag > 0xffff_ffffn) throw malformed('a field number is too large')
    this.#field = Number(tag >> 3n)
    this.#wireType = Number(tag & 7n)
    if (this.#field === 0) throw malformed('field number 0')
    return true
  }

  /** Passes over the field, whatever it holds. */
  skip(): void {
    if (this.#wireType === 0) this.#varint()
    else if (this.#wireType === 1) this.#take(8)
    else if (this.#wireType === 2) this.#delimited()
    else if (this.#wireType === 5) this.#take(4)
    else throw malformed(`field ${this.#field} has wire type ${this.#wireType}`)
  }

  /** A copy, so that what is kept of a message does not keep the rest of it in memory. */
  bytes(): Uint8Array {
    this.#expect(2)
    return new Uint8Array(this.#delimited())
  }

  string(): string {
    this.#expect(2)
    try {
      return utf8.decode(this.#delimited())
    } catch (cause) {
      if (cause instanceof InvalidMaterialError) throw cause
      throw malformed(`field ${this.#field} is not UTF-8`)
    }
  }

  bool(): boolean {
    this.#expect(0)
    return this.#varint() !== 0n
  }

  /** An int32 or the number of an enum value. */
  int32(): number {
    this.#expect(0)
    return Number(BigInt.asIntN(32, this.#varint()))
  }

  double(): number {
    this.#expect(1)
    const bytes = this.#take(8)
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true)
  }

  /** The embedded message of this field, read by its own function. */
  message<T>(read: (reader: Reader) => T): T {
    this.#expect(2)
    if (this.#depth === maxDepth) throw malformed(`messages are nested deeper than ${maxDepth}`)
    return read(new Reader(this.#delimited(), this.#budget, this.#depth + 1))
  }

  #expect(wireType: number): void {
    if (this.#wireType === wireType) return
    throw malformed(`field ${this.#field} has wire type ${this.#wireType}, expected ${wireType}`)
  }

  #delimited(): Uint8Array {
    const length = this.#varint()
    if (length > BigInt(this.#bytes.length)) throw malformed(`field ${this.#field} reaches past the end`)
    return this.#take(Number(length))
  }

  #take(length: number): Uint8Array {
    const from = this.#at
    if (length > this.#bytes.length - from) throw malformed(`field ${this.#field} reaches past the end`)
    this.#at = from + length
    return this.#bytes.subarray(from, this.#at)
  }

  #varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at]
      if (byte === undefined) throw malformed('a number is cut short')
      this.#at++
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        if (value >= 1n << 64n) break
        return value
      }
    }
    throw malformed('a number is longer than 64 bits')
  }
}
