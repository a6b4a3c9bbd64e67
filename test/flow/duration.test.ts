import { expect, test } from 'vitest'
import { expectMs } from '../../src/flow/index.js'

test('expectMs takes numbers of its range, both ends and Infinity included', () => {
  for (const ms of [0, 0.5, 30_000, Infinity]) expect(expectMs('aMs', ms)).toBe(ms)
  for (const ms of [1, 10]) expect(expectMs('aMs', ms, 1, 10)).toBe(ms)
})

for (const [what, ms, least, most] of [
  ['NaN', NaN, 0, Infinity],
  ['a negative number', -1, 0, Infinity],
  ['less than the least', 0.9, 1, Infinity],
  ['more than the most', Infinity, 0, 10],
  ['a text', '5', 0, Infinity],
  ['null', null, 0, Infinity],
  ['a bigint', 5n, 0, Infinity],
  ['an object', {}, 0, Infinity],
] as const)
  test(`expectMs refuses ${what}, and names the option`, () =>
    expect(() => expectMs('aMs', ms, least, most)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining('aMs') as string }),
    ))
