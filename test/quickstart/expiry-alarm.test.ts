import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ExpiryAlarm } from '../../src/quickstart/expiry-alarm.js'
import type { Validity } from '../../src/quickstart/expiry-alarm.js'

const start = new Date('2026-01-01T00:00:00Z').getTime()
let rung: string[]
let alarm: ExpiryAlarm<Validity & { name: string }>

beforeEach(() => {
  vi.useFakeTimers({ now: start })
  rung = []
  const ring = (what: string) => (validity: { name: string }) => {
    rung.push(`${validity.name} ${what} after ${(Date.now() - start) / 1000} s`)
  }
  alarm = new ExpiryAlarm<Validity & { name: string }>({ expiring: ring('expiring'), expired: ring('expired') })
})

afterEach(() => {
  alarm.stop()
  vi.useRealTimers()
})

function validity(name: string, fromS: number, toS: number) {
  return { name, notBefore: new Date(start + fromS * 1000), expiresAt: new Date(start + toS * 1000) }
}

test('it rings at four fifths of the life and one millisecond past its end', () => {
  alarm.set(validity('a', 0, 100))
  vi.advanceTimersByTime(200_000)
  expect(rung).toEqual(['a expiring after 80 s', 'a expired after 100.001 s'])
})

test('it rings for the newest validity only', () => {
  alarm.set(validity('a', 0, 100))
  vi.advanceTimersByTime(50_000)
  alarm.set(validity('b', 50, 150))
  vi.advanceTimersByTime(85_000)
  alarm.set(validity('c', 135, 235))
  alarm.stop()
  vi.advanceTimersByTime(500_000)
  expect(rung).toEqual(['b expiring after 130 s'])
})

test('what has run out already is expired, not expiring', () => {
  alarm.set(validity('a', -200, -100))
  vi.advanceTimersByTime(1)
  vi.advanceTimersByTime(1)
  expect(rung).toHaveLength(1)
  expect(rung[0]).toMatch(/^a expired/)
})

test('it waits longer than a timer can', () => {
  const yearS = 365 * 24 * 3600
  alarm.set(validity('a', 0, yearS))
  vi.advanceTimersByTime(yearS * 800 - 1)
  expect(rung).toEqual([])
  vi.advanceTimersByTime(1)
  expect(rung).toEqual([`a expiring after ${yearS * 0.8} s`])
})
