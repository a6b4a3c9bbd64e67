import type { Random } from './random.js'

/** One to four changes: flipped bits, other octets, cuts, repetitions, splices of another input, deep nesting. */
export function mutate(random: Random, input: Uint8Array, others: readonly Uint8Array[]): Buffer {
  let bytes: Buffer = Buffer.from(input)
  for (let change = random.below(4); change >= 0; change--) bytes = changeOnce(random, bytes, others)
  return bytes
}

function changeOnce(random: Random, bytes: Buffer, others: readonly Uint8Array[]): Buffer {
  const at = random.below(bytes.length + 1)
  const end = Math.min(bytes.length, at + random.below(40))
  const between = (middle: Uint8Array) => Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(end)])
  switch (random.below(8)) {
    case 0: {
      const changed = Buffer.from(bytes)
      if (at < changed.length) changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8))
      return changed
    }
    case 1: {
      const changed = Buffer.from(bytes)
      // Octets that mean something: lengths, tags, digits, quotes.
      if (at < changed.length) changed[at] = random.pick([0x00, 0xff, 0x80, 0x81, 0x84, 0x30, 0x31, 0x22, 0x5b, 0x2f])
      return changed
    }
    case 2:
      return bytes.subarray(0, at)
    case 3:
      return between(new Uint8Array())
    case 4:
      return between(
        bytes.subarray(at, end).length > 0
          ? Buffer.concat([bytes.subarray(at, end), bytes.subarray(at, end)])
          : Buffer.of(0),
      )
    case 5: {
      const other = random.pick(others)
      const from = random.below(other.length + 1)
      return between(other.subarray(from, from + random.below(200)))
    }
    case 6:
      return between(
        Buffer.alloc(random.below(2000), random.pick([Buffer.of(0x30, 0x80), Buffer.from('['), Buffer.from('{"a":')])),
      )
    default:
      return between(Buffer.from(Array.from({ length: random.below(12) }, () => random.below(256))))
  }
}
