import { Status } from './status.js'
import type { CallStatus } from './status.js'

const headerLength = 5

/** One message with the prefix that gRPC gives it: not compressed, four octets of length. */
export function frame(message: Uint8Array): Uint8Array {
  const framed = Buffer.alloc(headerLength + message.length)
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, headerLength)
  return framed
}

/**
 * Takes the octets of a response, however they were cut, and gives out whole messages. It holds at most one message of
 * the allowed size.
 */
export class Deframer {
  readonly #maxMessageBytes: number
  readonly #header = Buffer.alloc(headerLength)
  #headerFilled = 0
  #message: Buffer | undefined
  #filled = 0

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes
  }

  /** Whether the octets so far end between two messages. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0
  }

  /** The messages that these octets complete. A fault ends the response: what follows it cannot be read. */
  push(octets: Uint8Array): { messages: Uint8Array[]; fault?: CallStatus } {
    const messages: Uint8Array[] = []
    let at = 0
    while (at < octets.length) {
      if (!this.#message) {
        const part = octets.subarray(at, at + headerLength - this.#headerFilled)
        this.#header.set(part, this.#headerFilled)
        this.#headerFilled += part.length
        at += part.length
        if (this.#headerFilled < headerLength) break
        const fault = this.#begin()
        if (fault) return { messages, fault }
      }
      const message = this.#message as unknown as Buffer
      const part = octets.subarray(at, at + message.length - this.#filled)
      message.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === message.length) {
        messages.push(message)
        this.#message = undefined
        this.#headerFilled = 0
      }
    }
    return { messages }
  }

  #begin(): CallStatus | undefined {
    // We accept no compression, so a compressed message is a fault of the server.
    if (this.#header[0] !== 0)
      return { code: Status.internal, details: 'a compressed message, which was not asked for' }
    const length = this.#header.readUInt32BE(1)
    if (length > this.#maxMessageBytes) {
      const details = `a message of ${length} bytes, more than the ${this.#maxMessageBytes} allowed`
      return { code: Status.resourceExhausted, details, tooLarge: true }
    }
    this.#message = Buffer.alloc(length)
    this.#filled = 0
    return undefined
  }
}
