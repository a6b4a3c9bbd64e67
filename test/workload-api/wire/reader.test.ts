import { describe, expect, test } from 'vitest'
import { Reader } from '../../../src/workload-api/wire/reader.js'
import {
  readValidateJWTSVIDResponse,
  readX509BundlesResponse,
  readX509SVIDResponse,
} from '../../../src/workload-api/wire/generated/workload.js'

const code = 'ERR_WORKLOAD_API_RESPONSE_INVALID'
const hex = (text: string) => new Reader(Buffer.from(text.replaceAll(' ', ''), 'hex'))

describe('the reader refuses a message when', () => {
  for (const [reason, bytes] of [
    ['a known field has the wire type of a number', '08 01'],
    ['a length reaches past the end', '0a 05 00'],
    ['a length is larger than a file', '0a ff ff ff ff ff ff ff ff 7f'],
    ['a number is cut short', '80'],
    ['a number is longer than ten bytes', '80 80 80 80 80 80 80 80 80 80 01'],
    ['a number is larger than 64 bits', '28 ff ff ff ff ff ff ff ff ff 02'],
    ['the field number is 0', '00 00'],
    ['a field number is too large', '80 80 80 80 80 01 00'],
    ['a group starts', '23 24'],
    ['a fixed value is cut short', '21 00 00'],
    ['text is not UTF-8', '0a 04 0a 02 c3 28'],
    ['text is an overlong encoding', '0a 04 0a 02 c0 80'],
    ['it is rubbish', 'ff ff ff ff ff'],
  ] as const)
    test(reason, () => {
      expect(() => readX509SVIDResponse(hex(bytes))).toThrow(expect.objectContaining({ code }))
    })

  test('messages are nested without end', () => {
    let bytes: Uint8Array = new Uint8Array(0)
    // Value.list_value (6) -> ListValue.values (1) -> Value …
    for (let depth = 0; depth < 40; depth++) {
      const list = Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes])
      bytes = Buffer.concat([Buffer.from([0x32, list.length]), list])
      if (bytes.length > 110) break
    }
    const entry = Buffer.concat([Buffer.from([0x0a, 0x01, 0x78, 0x12, bytes.length]), bytes])
    const struct = Buffer.concat([Buffer.from([0x0a, entry.length]), entry])
    const message = Buffer.concat([Buffer.from([0x12, struct.length]), struct])
    expect(() => readValidateJWTSVIDResponse(new Reader(message))).toThrow(expect.objectContaining({ code }))
  })

  test('it holds more fields than any message of ours', () => {
    const many = new Uint8Array(2_000_004).fill(0)
    for (let at = 0; at < many.length; at += 2) many[at] = 0x12
    expect(() => readX509SVIDResponse(new Reader(many))).toThrow(expect.objectContaining({ code }))
  })
})

test('the reader passes over unknown fields of every wire type', () => {
  const message = hex('78 01 79 0000000000000000 7a 02 ffff 7d 00000000 12 01 aa')
  expect(readX509SVIDResponse(message).crl).toEqual([Uint8Array.of(0xaa)])
})

test('the reader takes an empty value of a map as empty, and the last of two equal keys', () => {
  const { bundles } = readX509BundlesResponse(hex('12 03 0a 01 61  12 06 0a 01 62 12 01 01  12 06 0a 01 62 12 01 02'))
  expect([...bundles]).toEqual([
    ['a', new Uint8Array(0)],
    ['b', Uint8Array.of(2)],
  ])
})

test('what is read does not keep the message in memory', () => {
  const { crl } = readX509SVIDResponse(hex('12 02 aabb'))
  expect(crl[0]!.buffer.byteLength).toBe(2)
})
