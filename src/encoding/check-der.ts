import { checkInteger, derFault, derTag } from './der-reader.js'

/** Bounds of {@link checkDer}; what lies beyond is refused, however well formed. */
export interface DerLimits {
  maxBytes: number
  maxDepth: number
  maxElements: number
}

const universalConstructed = new Set<number>([derTag.sequence, derTag.set])

/**
 * Walks one element and all inside it and refuses whatever is not DER, so that parts which nobody reads (names,
 * parameters of algorithms) are as strict as the rest. The stack is a bounded array: the input cannot deepen it.
 * What OCTET STRING and BIT STRING hold is opaque here.
 */
export function checkDer(bytes: Uint8Array, what: string, limits: DerLimits): void {
  if (bytes.length > limits.maxBytes) {
    throw derFault(`${what}: ${bytes.length} bytes are more than the ${limits.maxBytes} that are read`)
  }
  const ends: number[] = []
  let end = bytes.length
  let at = 0
  let elements = 0
  for (;;) {
    while (at === end && elements > 0) {
      const outer = ends.pop()
      if (outer === undefined) return
      end = outer
    }
    if (elements > 0 && ends.length === 0) throw derFault(`${what}: ${end - at} bytes follow the element`)
    if (++elements > limits.maxElements) throw derFault(`${what}: more than ${limits.maxElements} elements`)
    const tag = bytes[at] ?? 0
    if ((tag & 0x1f) === 0x1f || at + 1 >= end) throw derFault(`${what}: cut off, or a tag of more than one octet`)
    let length = bytes[at + 1] ?? 0
    let contentsAt = at + 2
    if (length >= 0x80) {
      const octets = length & 0x7f
      if (octets === 0) throw derFault(`${what}: indefinite length`)
      if (octets > 4 || contentsAt + octets > end) throw derFault(`${what}: the length runs past the end`)
      length = 0
      for (let i = 0; i < octets; i++) length = length * 256 + (bytes[contentsAt + i] ?? 0)
      contentsAt += octets
      if (length < 0x80 || length < 2 ** (8 * (octets - 1))) throw derFault(`${what}: the length is not minimal`)
    }
    if (length > end - contentsAt) throw derFault(`${what}: the length runs past the end`)
    const next = contentsAt + length
    if ((tag & 0x20) !== 0) {
      if (tag < 0x40 && !universalConstructed.has(tag)) throw derFault(`${what}: a constructed string is not DER`)
      // `end` is pushed, so a chain of last elements counts as depth too.
      if (ends.push(end) > limits.maxDepth) throw derFault(`${what}: nested deeper than ${limits.maxDepth}`)
      end = next
      at = contentsAt
      continue
    }
    if (tag === derTag.integer || tag === derTag.enumerated) checkInteger(bytes.subarray(contentsAt, next), what)
    else checkPrimitive(tag, length, bytes[contentsAt] ?? 0, what)
    at = next
  }
}

function checkPrimitive(tag: number, length: number, first: number, what: string): void {
  if (tag === 0x00) throw derFault(`${what}: end-of-contents where an element is due`)
  if (tag === (derTag.sequence & 0x1f) || tag === (derTag.set & 0x1f)) {
    throw derFault(`${what}: a SEQUENCE or SET that is not constructed`)
  }
  if (tag === derTag.boolean && (length !== 1 || (first !== 0x00 && first !== 0xff))) {
    throw derFault(`${what}: a BOOLEAN is one octet, 00 or FF`)
  }
  if (tag === derTag.null && length !== 0) throw derFault(`${what}: a NULL is empty`)
  if (tag === derTag.oid && length === 0) throw derFault(`${what}: an OID is not empty`)
}
