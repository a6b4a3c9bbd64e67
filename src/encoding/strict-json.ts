/** A number as it was written, so that nothing of a large integer is lost. */
export class JsonNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** The integer, or `undefined` when it has a fraction, an exponent or more digits than anyone needs. */
  toBigInt(): bigint | undefined {
    return /^-?(?:0|[1-9][0-9]{0,59})$/.test(this.text) ? BigInt(this.text) : undefined
  }
}

export type JsonObject = ReadonlyMap<string, JsonValue>
export type JsonValue = null | boolean | string | JsonNumber | readonly JsonValue[] | JsonObject

/** Bounds of {@link parseStrictJson}. */
export interface JsonLimits {
  maxBytes: number
  maxDepth: number
  maxValues: number
}

const defaults: JsonLimits = { maxBytes: 8 * 1024 * 1024, maxDepth: 32, maxValues: 200_000 }
// With `ignoreBOM` the mark is kept, and then refused as a character that starts no value.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const numberShape = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const [tab, newline, carriageReturn, blank, quote, backslash] = [0x09, 0x0a, 0x0d, 0x20, 0x22, 0x5c]

/**
 * JSON as RFC 8259 has it, from UTF-8 bytes without a byte order mark. Unlike `JSON.parse` it refuses a member that occurs
 * twice, keeps integers of any size, and builds maps, so that no member name can reach a prototype.
 * @throws SyntaxError
 */
export function parseStrictJson(source: Uint8Array | string, limits: JsonLimits = defaults): JsonValue {
  if (source.length > limits.maxBytes) throw new SyntaxError(`more than ${limits.maxBytes} bytes`)
  const text = typeof source === 'string' ? source : decodeUtf8(source)
  const reader = new JsonReader(text, limits)
  const value = reader.value(0)
  reader.finish()
  return value
}

class JsonReader {
  readonly #text: string
  readonly #limits: JsonLimits
  #at = 0
  #values = 0

  constructor(text: string, limits: JsonLimits) {
    this.#text = text
    this.#limits = limits
    this.#skipSpace()
  }

  /** Recursion ends at the limit. */
  value(depth: number): JsonValue {
    if (++this.#values > this.#limits.maxValues) throw new SyntaxError(`more than ${this.#limits.maxValues} values`)
    if (depth > this.#limits.maxDepth) throw new SyntaxError(`nested deeper than ${this.#limits.maxDepth}`)
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return new JsonNumber(this.#match(numberShape, 'a value'))
    }
  }

  finish(): void {
    if (this.#at < this.#text.length) throw new SyntaxError(`something follows the document at position ${this.#at}`)
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, JsonValue>()
    this.#list('}', () => {
      if (this.#text[this.#at] !== '"') throw new SyntaxError(`expected a member name at position ${this.#at}`)
      const name = this.#string()
      if (members.has(name)) throw new SyntaxError('a member occurs twice')
      this.#expect(':')
      members.set(name, this.value(depth + 1))
    })
    return members
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = []
    this.#list(']', () => items.push(this.value(depth + 1)))
    return items
  }

  #list(end: string, readItem: () => void): void {
    this.#step()
    if (this.#text[this.#at] === end) {
      this.#step()
      return
    }
    for (;;) {
      readItem()
      if (this.#text[this.#at] === end) break
      this.#expect(',')
    }
    this.#step()
  }

  #string(): string {
    const text = this.#text
    const start = this.#at
    let isPlain = true
    let end = start + 1
    for (; end < text.length; end++) {
      const code = text.charCodeAt(end)
      if (code === quote) break
      if (code >= blank && code !== backslash) continue
      isPlain = false
      if (code === backslash) end++
    }
    if (end >= text.length) throw new SyntaxError(`the string at position ${start} has no end`)
    this.#at = end
    this.#step()
    // JSON.parse refuses control characters and unknown escapes.
    return isPlain ? text.slice(start + 1, end) : (JSON.parse(text.slice(start, end + 1)) as string)
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw new SyntaxError(`expected a value at position ${this.#at}`)
    this.#at += word.length
    this.#skipSpace()
    return value
  }

  #match(shape: RegExp, what: string): string {
    shape.lastIndex = this.#at
    const [found] = shape.exec(this.#text) ?? []
    if (found === undefined) throw new SyntaxError(`expected ${what} at position ${this.#at}`)
    this.#at += found.length
    this.#skipSpace()
    return found
  }

  #expect(char: string): void {
    if (this.#text[this.#at] !== char) throw new SyntaxError(`expected '${char}' at position ${this.#at}`)
    this.#step()
  }

  #step(): void {
    this.#at++
    this.#skipSpace()
  }

  #skipSpace(): void {
    let at = this.#at
    for (; ; at++) {
      const code = this.#text.charCodeAt(at)
      if (code !== blank && code !== newline && code !== carriageReturn && code !== tab) break
    }
    this.#at = at
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new SyntaxError('not UTF-8')
  }
}
