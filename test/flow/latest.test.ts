import { expect, test } from 'vitest'
import { Latest } from '../../src/flow/index.js'

test('a reader that waited gets the newest value, not the one that woke it', async () => {
  const latest = new Latest<number>()
  const waiting = latest.iterate().next()
  latest.set(1)
  latest.set(2)
  expect(await waiting).toEqual({ done: false, value: 2 })
})

test('a slow reader skips ahead and sees nothing twice', async () => {
  const latest = new Latest<number>()
  const reader = latest.iterate()
  latest.set(1)
  expect((await reader.next()).value).toBe(1)
  latest.set(2)
  latest.set(3)
  expect((await reader.next()).value).toBe(3)
  const waiting = reader.next()
  latest.set(4)
  expect((await waiting).value).toBe(4)
})

test('a new reader starts with the current value', async () => {
  const latest = new Latest<string>()
  latest.set('a')
  expect((await latest.iterate().next()).value).toBe('a')
})

test('the end comes after the last value that was not seen', async () => {
  const latest = new Latest<number>()
  const reader = latest.iterate()
  const waiting = reader.next()
  latest.set(1)
  latest.end()
  expect(await waiting).toEqual({ done: false, value: 1 })
  expect(await reader.next()).toEqual({ done: true, value: undefined })
})

test('an error ends every reader with that error, once', async () => {
  const latest = new Latest<number>()
  const [first, second] = [latest.iterate(), latest.iterate()]
  const waiting = first.next()
  const fault = new Error('gone')
  latest.end(fault)
  latest.end()
  await expect(waiting).rejects.toBe(fault)
  await expect(second.next()).rejects.toBe(fault)
  expect(await first.next()).toEqual({ done: true, value: undefined })
})

test('aborting the signal ends one reader with its reason and leaves no listener', async () => {
  const latest = new Latest<number>()
  const controller = new AbortController()
  const waiting = latest.iterate({ signal: controller.signal }).next()
  const other = latest.iterate().next()
  const reason = new Error('enough')
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  latest.set(1)
  expect((await other).value).toBe(1)
})

test('leaving settles a next() that is still waiting', async () => {
  const latest = new Latest<number>()
  const reader = latest.iterate()
  const waiting = reader.next()
  await reader.return?.()
  expect(await waiting).toEqual({ done: true, value: undefined })
})

test('two calls of next() on one reader share out what comes', async () => {
  const latest = new Latest<number>()
  const reader = latest.iterate()
  const both = [reader.next(), reader.next()]
  latest.set(1)
  expect((await both[0])?.value).toBe(1)
  latest.end()
  expect(await both[1]).toEqual({ done: true, value: undefined })
})
