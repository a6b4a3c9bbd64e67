import { expect, test } from 'vitest'
import { doublingDelay, proportionalDelay } from '../../src/flow/index.js'

const range = { minMs: 100, maxMs: 10_000 }
const most = () => 1
const least = () => 0

test('delays double up to the longest', () => {
  expect([0, 1, 2, 3, 6, 7, 1000].map((attempt) => doublingDelay(attempt, range, most))).toEqual([
    100, 200, 400, 800, 6_400, 10_000, 10_000,
  ])
})

test('jitter takes up to half of a delay away and never goes below the shortest', () => {
  expect(doublingDelay(3, range, least)).toBe(400)
  expect(doublingDelay(0, range, least)).toBe(100)
  const seen = new Set(Array.from({ length: 20 }, () => doublingDelay(5, range)))
  expect(seen.size).toBeGreaterThan(1)
})

test('a proportional delay is at most a tenth of what was waited', () => {
  expect([0, 1_000, 10_000, 60_000, 1e9].map((waited) => proportionalDelay(waited, range, most))).toEqual([
    100, 100, 1_000, 6_000, 10_000,
  ])
  expect(proportionalDelay(60_000, range, least)).toBe(3_000)
})
