/** One DER element: a tag, and contents that are put one after the other. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents)
  return Buffer.concat([Buffer.from([tag]), derLength(body.length), body])
}

export function derLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Buffer.from([0x80 | octets.length, ...octets])
}

export function derSequence(...contents: readonly Uint8Array[]): Buffer {
  return der(0x30, ...contents)
}

export function derInteger(value: bigint | number): Buffer {
  let rest = BigInt(value)
  const octets: number[] = []
  do {
    octets.unshift(Number(BigInt.asUintN(8, rest)))
    rest >>= 8n
  } while (rest !== 0n && rest !== -1n)
  if (rest === 0n && (octets[0] ?? 0) >= 0x80) octets.unshift(0)
  if (rest === -1n && (octets[0] ?? 0) < 0x80) octets.unshift(0xff)
  return der(0x02, Buffer.from(octets))
}

export function derOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const octets: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const group = [arc % 128]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) group.unshift((left % 128) | 0x80)
    octets.push(...group)
  }
  return der(0x06, Buffer.from(octets))
}

export function derBoolean(value: boolean): Buffer {
  return der(0x01, Buffer.from([value ? 0xff : 0x00]))
}

export function derOctets(bytes: Uint8Array): Buffer {
  return der(0x04, bytes)
}

/** A BIT STRING of whole octets. */
export function derBits(bytes: Uint8Array): Buffer {
  return der(0x03, Buffer.from([0]), bytes)
}

/** A BIT STRING of named bits, given by their numbers. */
export function derNamedBits(numbers: readonly number[]): Buffer {
  if (numbers.length === 0) return der(0x03, Buffer.from([0]))
  const highest = Math.max(...numbers)
  const octets = Buffer.alloc(1 + (highest >> 3))
  for (const number of numbers) octets[number >> 3] = (octets[number >> 3] ?? 0) | (0x80 >> (number & 7))
  return der(0x03, Buffer.from([7 - (highest & 7)]), octets)
}

/** UTCTime until 2049, GeneralizedTime from 2050 on, as RFC 5280 §4.1.2.5 wants it. */
export function derTime(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+Z$|[-:T]/g, '')
  const year = date.getUTCFullYear()
  return year >= 1950 && year < 2050
    ? der(0x17, Buffer.from(`${digits.slice(2)}Z`))
    : der(0x18, Buffer.from(`${digits}Z`))
}

/** A Name of one common name in a UTF8String; an empty text is an empty Name. */
export function derName(commonName: string): Buffer {
  if (commonName === '') return derSequence()
  return derSequence(der(0x31, derSequence(derOid('2.5.4.3'), der(0x0c, Buffer.from(commonName)))))
}
