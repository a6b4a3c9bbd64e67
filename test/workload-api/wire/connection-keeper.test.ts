import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { parseEndpoint } from '../../../src/workload-api/endpoint.js'
import { Connection } from '../../../src/workload-api/wire/connection.js'
import { ConnectionKeeper } from '../../../src/workload-api/wire/connection-keeper.js'

const options = { connectTimeoutMs: 2_000, maxMessageBytes: 1_000, keepaliveMs: 30_000, keepaliveTimeoutMs: 1_000 }

async function startKeeper(): Promise<ConnectionKeeper> {
  const directory = await mkdtemp(join(tmpdir(), 'wire-'))
  const path = join(directory, 'agent.sock')
  const server = createServer().listen(path)
  await once(server, 'listening')
  const keeper = new ConnectionKeeper(parseEndpoint(`unix://${path}`), options)
  onTestFinished(async () => {
    keeper.close()
    server.close()
    await rm(directory, { recursive: true, force: true })
  })
  return keeper
}

test('all share one connection', async () => {
  const keeper = await startKeeper()
  const { signal } = new AbortController()
  const [first, second] = await Promise.all([keeper.get(signal), keeper.get(signal)])
  expect(second).toBe(first)
  expect(await keeper.get(signal)).toBe(first)
})

test('a connection that stands in the moment in which nobody wants it any more is closed', async () => {
  const keeper = await startKeeper()
  const leaving = new AbortController()
  const open = Connection.open.bind(Connection)
  const opened: Connection[] = []
  const spy = vi.spyOn(Connection, 'open').mockImplementation(async (...args) => {
    const connection = await open(...args)
    opened.push(connection)
    leaving.abort(new Error('left'))
    return connection
  })
  onTestFinished(() => spy.mockRestore())
  await expect(keeper.get(leaving.signal)).rejects.toThrow('left')
  await vi.waitFor(() => expect(opened.map(({ usable }) => usable)).toEqual([false]))
})
