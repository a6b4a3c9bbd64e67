import { expect, test } from 'vitest'
import { measure, processorShare, processorTime } from './measure.mjs'

test('what is dropped is not measured', async () => {
  const before = await measure()
  const kept = new Set([Array.from({ length: 1_000_000 }, (_, at) => at)])
  expect((await measure()).heap - before.heap).toBeGreaterThan(7_000_000)
  kept.clear()
  expect((await measure()).heap - before.heap).toBeLessThan(2_000_000)
})

test('the share of a processor is that of the time in which there was something to do', () => {
  expect(processorShare({ ran: 1, waited: 10 }, { ran: 3, waited: 16 })).toBe(0.25)
  expect(processorShare({ ran: 1, waited: 10 }, { ran: 3, waited: 10 })).toBe(1)
  expect(processorShare({ ran: 1, waited: 10 }, { ran: 1, waited: 10 })).toBe(1)
})

test('a process that computes has run', () => {
  const begin = processorTime()
  let end = begin
  while (end.ran - begin.ran < 0.05) end = processorTime()
  expect(processorShare(begin, end)).toBeGreaterThan(0)
  expect(processorShare(begin, end)).toBeLessThanOrEqual(1)
})
