import { createConnection, createServer } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { afterSilence, sleep } from '../../src/flow/index.js'

afterEach(() => {
  vi.restoreAllMocks()
})

/** Stops the event loop, as a large computation does. */
function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('silence is called so', async () => {
  const release = setInterval(() => undefined, 1_000)
  await new Promise<void>((resolve) => afterSilence(1, resolve))
  clearInterval(release)
})

test('what arrived while the event loop stood still is no silence', async () => {
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const outcome = await new Promise<string>((resolve) => {
    const cancel = afterSilence(20, () => resolve('silence'))
    const socket = createConnection({ port, host: '127.0.0.1' }, () => {
      cancel()
      socket.destroy()
      resolve('connected')
    })
    block(50)
  })
  server.close()
  expect(outcome).toBe('connected')
})

test('a time longer than a timer can run is as long as one can, and does not pass at once', () => {
  const timers = vi.spyOn(globalThis, 'setTimeout')
  const cancel = afterSilence(Infinity, () => undefined)
  const stop = new AbortController()
  void sleep(Infinity, stop.signal).catch(() => undefined)
  expect(timers.mock.calls.map(([, ms]) => ms)).toEqual([0x7fff_ffff, 0x7fff_ffff])
  cancel()
  stop.abort()
})
