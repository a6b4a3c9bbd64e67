import { expect, test } from 'vitest'
import { judgeFlat } from './flat.mjs'

const series = (value: (at: number) => number) => Array.from({ length: 60 }, (_, at) => ({ at, value: value(at) }))
/** Up and down, as what is sampled between two calls does. */
const noise = (at: number) => [0, 7, 3, 9, 1][at % 5]!

test('a quantity that moves and comes back is flat', () => {
  const { summary, violation } = judgeFlat(
    'heap',
    series((at) => 100 + noise(at)),
    5,
  )
  expect(violation).toBeUndefined()
  expect(summary).toMatchObject({ growth: 0, max: 109, growthPerUnit: 0 })
})

test('growth of the warm-up is not held against it', () => {
  expect(
    judgeFlat(
      'heap',
      series((at) => Math.min(at, 15) * 100 + noise(at)),
      5,
    ).violation,
  ).toBeUndefined()
})

test('a leak of a little at each sample is found', () => {
  const { summary, violation } = judgeFlat(
    'heap',
    series((at) => 100 + noise(at) + at),
    5,
  )
  expect(violation).toContain('heap grew by 30')
  expect(summary.growthPerUnit).toBe(1)
})

test('too few samples are no verdict', () => {
  expect(() => judgeFlat('heap', series(() => 1).slice(0, 11), 5)).toThrow('too few')
})
