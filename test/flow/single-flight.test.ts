import { expect, test } from 'vitest'
import { SingleFlight } from '../../src/flow/index.js'

function workbench() {
  const started: AbortSignal[] = []
  let finish: (value: string) => void = () => undefined
  const work = (signal: AbortSignal) => {
    started.push(signal)
    return new Promise<string>((resolve, reject) => {
      finish = resolve
      signal.addEventListener('abort', () => {
        reject(new Error('aborted'))
      })
    })
  }
  return { started, work, finish: (value: string) => finish(value) }
}

test('callers of the same key share one piece of work', async () => {
  const { started, work, finish } = workbench()
  const flights = new SingleFlight<string, string>()
  const both = [flights.run('k', work), flights.run('k', work)]
  finish('done')
  expect(await Promise.all(both)).toEqual(['done', 'done'])
  expect(started).toHaveLength(1)
})

test("one caller's abort leaves the others their result", async () => {
  const { started, work, finish } = workbench()
  const flights = new SingleFlight<string, string>()
  const controller = new AbortController()
  const first = flights.run('k', work, controller.signal)
  const second = flights.run('k', work)
  const reason = new Error('enough')
  controller.abort(reason)
  await expect(first).rejects.toBe(reason)
  expect(started[0]!.aborted).toBe(false)
  finish('done')
  expect(await second).toBe('done')
})

test('the work is aborted when the last caller leaves, and the next call starts anew', async () => {
  const { started, work, finish } = workbench()
  const flights = new SingleFlight<string, string>()
  const controller = new AbortController()
  const only = flights.run('k', work, controller.signal)
  controller.abort(new Error('enough'))
  await expect(only).rejects.toThrow('enough')
  expect(started[0]!.aborted).toBe(true)
  const again = flights.run('k', work)
  finish('fresh')
  expect(await again).toBe('fresh')
  expect(started).toHaveLength(2)
})

test('a failure reaches every caller and is not kept', async () => {
  const flights = new SingleFlight<string, string>()
  const fault = new Error('broken')
  const both = [flights.run('k', () => Promise.reject(fault)), flights.run('k', () => Promise.resolve('unused'))]
  await expect(both[0]).rejects.toBe(fault)
  await expect(both[1]).rejects.toBe(fault)
  expect(await flights.run('k', () => Promise.resolve('fine'))).toBe('fine')
})
