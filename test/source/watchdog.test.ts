import { expect, test } from 'vitest'
import { nextCheckMs } from '../../src/source/watchdog.js'

const hour = 3_600_000

test('an SVID is left alone until most of its lifetime is gone', () => {
  expect(nextCheckMs(0, hour, 0, false)).toBe(0.7 * hour)
  expect(nextCheckMs(0, hour, hour / 2, false)).toBeCloseTo(0.2 * hour)
})

test('then its stream is opened anew, more often as the expiry nears', () => {
  const times: number[] = []
  for (let now = 0.7 * hour; now < hour; now += nextCheckMs(0, hour, now, true)) times.push(now)
  const gaps = times.slice(1).map((time, index) => time - times[index]!)
  expect(gaps[0]).toBeCloseTo(0.1 * hour)
  for (const [index, gap] of gaps.entries()) if (index > 0) expect(gap).toBeLessThanOrEqual(gaps[index - 1]!)
  expect(Math.min(...gaps)).toBe(1_000)
  expect(times.length).toBeLessThan(30)
})

test('after the expiry it keeps trying, slowly', () => {
  expect(nextCheckMs(0, hour, hour, true)).toBe(10_000)
  expect(nextCheckMs(0, hour, 2 * hour, false)).toBe(10_000)
})
