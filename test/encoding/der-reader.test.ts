import { describe, expect, test } from 'vitest'
import { checkDer, DerReader, derTag } from '../../src/encoding/index.js'

const malformed = expect.objectContaining({ code: 'ERR_DER_MALFORMED' }) as Error
const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')
const reader = (hex: string) => new DerReader(bytes(hex))
const limits = { maxBytes: 10_000, maxDepth: 8, maxElements: 100 }

describe('DerReader', () => {
  test('reads elements one after the other and knows the end', () => {
    const list = reader('30 06 02 01 05 01 01 ff').enter(derTag.sequence, 'list')
    expect(list.peek()).toBe(derTag.integer)
    expect(list.smallInteger('number')).toBe(5)
    expect(list.boolean('flag')).toBe(true)
    expect(list.atEnd()).toBe(true)
    expect(() => list.finish('list')).not.toThrow()
  })
  test('reads lengths of several octets', () => {
    const contents = Buffer.alloc(200, 7)
    expect(new DerReader(Buffer.concat([bytes('04 81 c8'), contents])).contents(derTag.octetString, 'x')).toEqual(
      contents,
    )
  })
  for (const [what, hex] of [
    ['an indefinite length', '30 80 00 00'],
    ['a length that is not minimal', '04 81 01 00'],
    ['a length with a leading zero', `04 82 00 80 ${'00'.repeat(128)}`],
    ['a length past the end', '04 05 00'],
    ['a length of five octets', '04 85 00 00 00 00 01 00'],
    ['a length that is cut off', '04 82 01'],
    ['a tag alone', '04'],
    ['nothing', ''],
    ['a tag of two octets', '1f 81 01 00'],
  ] as const) {
    test(`refuses ${what}`, () => expect(() => reader(hex).any('x')).toThrow(malformed))
  }
  test('refuses another tag than the one expected', () => {
    expect(() => reader('04 00').enter(derTag.sequence, 'x')).toThrow(malformed)
  })
  test('refuses what follows where nothing is due', () => {
    const outer = reader('04 00 00')
    outer.any('x')
    expect(() => outer.finish('x')).toThrow(malformed)
  })
  for (const [what, hex, read] of [
    ['a BOOLEAN of 01', '01 01 01', (r: DerReader) => r.boolean('x')],
    ['an empty BOOLEAN', '01 00', (r: DerReader) => r.boolean('x')],
    ['an empty INTEGER', '02 00', (r: DerReader) => r.integer('x')],
    ['an INTEGER with a needless zero', '02 02 00 01', (r: DerReader) => r.integer('x')],
    ['a negative INTEGER with a needless octet', '02 02 ff 80', (r: DerReader) => r.integer('x')],
    ['a negative small INTEGER', '02 01 80', (r: DerReader) => r.smallInteger('x')],
    ['a small INTEGER of seven octets', '02 07 01000000000000', (r: DerReader) => r.smallInteger('x')],
    ['an empty OID', '06 00', (r: DerReader) => r.oid('x')],
    ['an OID that is cut off', '06 02 2a 86', (r: DerReader) => r.oid('x')],
    ['an OID arc with a needless octet', '06 03 2a 80 01', (r: DerReader) => r.oid('x')],
    ['an OID arc that is too large', '06 08 2a 87 ff ff ff ff ff 7f', (r: DerReader) => r.oid('x')],
    ['bits that are no octets', '03 02 01 80', (r: DerReader) => r.octetAlignedBits('x')],
    ['an empty BIT STRING', '03 00', (r: DerReader) => r.namedBits('x')],
    ['named bits with a trailing zero', '03 02 00 80', (r: DerReader) => r.namedBits('x')],
    ['named bits with unused bits set', '03 02 07 81', (r: DerReader) => r.namedBits('x')],
    ['nine unused bits', '03 02 09 80', (r: DerReader) => r.namedBits('x')],
  ] as const) {
    test(`refuses ${what}`, () => expect(() => read(reader(hex))).toThrow(malformed))
  }
  test('reads OIDs and named bits', () => {
    expect(reader('06 03 55 1d 0f').oid('x')).toBe('2.5.29.15')
    expect(reader('06 09 2a 86 48 86 f7 0d 01 01 0b').oid('x')).toBe('1.2.840.113549.1.1.11')
    expect(reader('06 02 88 37').oid('x')).toBe('2.999')
    expect(reader('03 02 07 80').namedBits('x')).toBe(1)
    expect(reader('03 02 01 06').namedBits('x')).toBe((1 << 5) | (1 << 6))
    expect(reader('03 03 07 00 80').namedBits('x')).toBe(1 << 8)
  })
})

describe('checkDer', () => {
  const check = (hex: string, changes: Partial<typeof limits> = {}) =>
    checkDer(bytes(hex), 'input', { ...limits, ...changes })
  test('accepts nested DER', () => {
    expect(() => check('30 0a 31 03 02 01 05 30 00 05 00 04 00'.replace('0a', '0b'))).not.toThrow()
    expect(() => check('30 00')).not.toThrow()
    expect(() => check('05 00')).not.toThrow()
  })
  for (const [what, hex] of [
    ['nothing', ''],
    ['a second element', '05 00 05 00'],
    ['a second element after a constructed one', '30 00 30 00'],
    ['an indefinite length', '30 80 00 00'],
    ['an end-of-contents', '30 02 00 00'],
    ['an element past the end of the one around it', '30 03 04 02 00 00'],
    ['a constructed string', '24 02 04 00'],
    ['a primitive SEQUENCE', '10 00'],
    ['a BOOLEAN of 01', '30 03 01 01 01'],
    ['a NULL with contents', '30 03 05 01 00'],
    ['an INTEGER that is not minimal', '30 04 02 02 00 01'],
    ['an empty OID', '30 02 06 00'],
  ] as const) {
    test(`refuses ${what}`, () => expect(() => check(hex)).toThrow(malformed))
  }
  test('is bounded in size, depth and count', () => {
    let nested = bytes('05 00')
    for (let i = 0; i < 8; i++) nested = Buffer.concat([Buffer.from([0x30, nested.length]), nested])
    expect(() => check(nested.toString('hex'))).not.toThrow()
    expect(() => check(nested.toString('hex'), { maxDepth: 7 })).toThrow(malformed)
    expect(() => check('30 06 05 00 05 00 05 00', { maxElements: 4 })).not.toThrow()
    expect(() => check('30 06 05 00 05 00 05 00', { maxElements: 3 })).toThrow(malformed)
    expect(() => check('05 00', { maxBytes: 1 })).toThrow(malformed)
  })
  test('a bomb of a million nested sequences costs no stack', () => {
    const bomb = Buffer.alloc(2_000_000, Buffer.from([0x30, 0x80]))
    expect(() => checkDer(bomb, 'bomb', { ...limits, maxBytes: 1e7 })).toThrow(malformed)
    let nested = bytes('05 00')
    for (let i = 0; i < 300; i++) {
      const length = nested.length
      const head =
        length < 128 ? [0x30, length] : length < 256 ? [0x30, 0x81, length] : [0x30, 0x82, length >> 8, length & 255]
      nested = Buffer.concat([Buffer.from(head), nested])
    }
    expect(() => checkDer(nested, 'bomb', { ...limits, maxElements: 1e6 })).toThrow(malformed)
  })
})
