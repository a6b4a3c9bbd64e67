import { describe, expect, test } from 'vitest'
import {
  base64Decode,
  base64urlDecode,
  base64urlEncode,
  JsonNumber,
  parseStrictJson,
  pemDecode,
  pemEncode,
} from '../../src/encoding/index.js'

describe('base64 and base64url', () => {
  const malformed = expect.objectContaining({ code: 'ERR_BASE64_MALFORMED' }) as Error
  test('read what they write', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, at) => at)
    expect(Uint8Array.from(base64urlDecode(base64urlEncode(bytes)))).toEqual(bytes)
    expect(base64Decode('AAE=')).toEqual(Buffer.from([0, 1]))
    expect(base64urlDecode('')).toHaveLength(0)
  })
  for (const text of ['AAE=', 'A', 'AA+_', 'AB', 'AAE\n', ' AAE', 'AA*E', 'AA/E']) {
    test(`base64url refuses ${JSON.stringify(text)}`, () => expect(() => base64urlDecode(text)).toThrow(malformed))
  }
  for (const text of ['AAE', 'AAF=', 'A-_=', 'AAE=\n', '=', 'AAE==']) {
    test(`base64 refuses ${JSON.stringify(text)}`, () => expect(() => base64Decode(text)).toThrow(malformed))
  }
})

describe('PEM', () => {
  const malformed = expect.objectContaining({ code: 'ERR_PEM_MALFORMED' }) as Error
  const one = pemEncode('CERTIFICATE', new Uint8Array(100).fill(1))
  test('reads several blocks, text between them, and either line ending', () => {
    const text = `of the root:\n${one}between: us\n${pemEncode('PRIVATE KEY', new Uint8Array(3))}\n`
    for (const variant of [text, text.replaceAll('\n', '\r\n')]) {
      expect(pemDecode(variant).map(({ label, der }) => [label, der.length])).toEqual([
        ['CERTIFICATE', 100],
        ['PRIVATE KEY', 3],
      ])
    }
    expect(pemDecode('')).toEqual([])
  })
  for (const [what, text] of [
    ['a block without an end', one.split('-----END')[0]!],
    ['an end without a block', '-----END CERTIFICATE-----\n'],
    ['an end of another label', one.replace('END CERTIFICATE', 'END X509 CRL')],
    ['a block within a block', one.replace('\n', '\n-----BEGIN CERTIFICATE-----\n')],
    ['headers', one.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n')],
    ['something that is no base64', one.replace('AQEB', 'AQ*B')],
    ['a begin that is cut off', '-----BEGIN CERT\n'],
  ] as const) {
    test(`refuses ${what}`, () => expect(() => pemDecode(text)).toThrow(malformed))
  }
})

describe('strict JSON', () => {
  test('reads every kind of value', () => {
    const value = parseStrictJson(' {"a":[1,-2.5e3,"x\\u0041",true,false,null,{}],"b":""} ')
    expect(value).toEqual(
      new Map<string, unknown>([
        ['a', [new JsonNumber('1'), new JsonNumber('-2.5e3'), 'xA', true, false, null, new Map()]],
        ['b', ''],
      ]),
    )
  })
  test('keeps every digit of an integer', () => {
    const digits = '123456789012345678901234567890'
    expect((parseStrictJson(digits) as JsonNumber).toBigInt()).toBe(BigInt(digits))
    expect(['1.0', '1e2', '-0.5'].map((text) => (parseStrictJson(text) as JsonNumber).toBigInt())).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
  const bad = ['', '{', '[1,]', '{"a":1,}', '{a:1}', "'a'", '01', '+1', '1.', '.5', 'nul', 'NaN', '"a', '"\\x"', '"\n"']
  for (const text of [...bad, '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '1 2', '[1}', '\ufeff{}', '"\\', '{"a" 1}']) {
    test(`refuses ${JSON.stringify(text)}`, () => expect(() => parseStrictJson(text)).toThrow(SyntaxError))
  }
  test('is bounded in size, depth and count', () => {
    const limits = { maxBytes: 100, maxDepth: 3, maxValues: 5 }
    expect(() => parseStrictJson('[[[0]]]', limits)).not.toThrow()
    expect(() => parseStrictJson('[[[[0]]]]', limits)).toThrow(SyntaxError)
    expect(() => parseStrictJson('[0,0,0,0]', limits)).not.toThrow()
    expect(() => parseStrictJson('[0,0,0,0,0]', limits)).toThrow(SyntaxError)
    expect(() => parseStrictJson(' '.repeat(101), limits)).toThrow(SyntaxError)
    expect(() => parseStrictJson('['.repeat(1_000_000))).toThrow(SyntaxError)
    expect(() => parseStrictJson(`"${'\\'.repeat(5_000_000)}`)).toThrow(SyntaxError)
  })
})
