import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { sleep } from '../../src/flow/index.js'
import { openSockets, TimerCensus } from './leaks.js'

// The checks at the end of the other files are worth what these find.

test('a socket that is open and unref-ed is found, until it is closed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'leaks-'))
  const path = join(directory, 's')
  const server = createServer((socket) => socket.unref()).unref()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const before = openSockets()
  const socket = connect(path).unref()
  await new Promise((resolve) => socket.once('connect', resolve))
  const left = () => [...openSockets()].filter(([address]) => !before.has(address)).map(([, name]) => name)
  expect(left()).toContain(`pipe null -> ${JSON.stringify(path)}`)
  socket.destroy()
  await vi.waitFor(() => expect(left()).toEqual([]))
  await new Promise((resolve) => server.close(resolve))
  await rm(directory, { recursive: true })
})

test('a timer of this library is found until it is cleared, and one of a test is not', async () => {
  const timers = new TimerCensus()
  timers.start()
  const own = setTimeout(() => undefined, 60_000)
  const ending = new AbortController()
  const slept = sleep(60_000, ending.signal)
  expect(timers.running()).toHaveLength(1)
  expect(timers.running()[0]).toContain('sleep.')
  ending.abort(new Error('enough'))
  await expect(slept).rejects.toThrow('enough')
  await vi.waitFor(() => expect(timers.running()).toEqual([]))
  clearTimeout(own)
  timers.stop()
})
