import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { DevAgent } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'
import { buildForNode } from './build-for-node.js'

let agent: DevAgent
let endpoint: string
const children: ChildProcess[] = []

beforeAll(async () => {
  agent = await DevAgent.start({ trustDomain: 'example.org' })
  endpoint = (await agent.workload('spiffe://example.org/service')).endpoint
})

afterAll(() => agent.close())

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

async function startService(graceMs: number, held = '') {
  const certDir = join(await temporaryDirectory(), 'certs')
  const { index } = await buildForNode()
  const program = join(import.meta.dirname, 'programs', 'serve-until-signal.mjs')
  const child = spawn(process.execPath, [program, index, endpoint, certDir, String(graceMs), held], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const port = (await lines.next()).value as string
  expect(existsSync(join(certDir, 'svid.key'))).toBe(true)
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  return { child, exit, certDir, lines, url: `http://127.0.0.1:${port}` }
}

function request(url: string, agent?: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => void text(response).then(resolve, reject)).on('error', reject)
  })
}

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`at ${signal} requests in flight finish, the files go, and the process exits 0`, async () => {
    const { child, exit, certDir, lines, url } = await startService(8_000)
    // A client that keeps its connections open must not hold the service back.
    const keepAlive = new Agent({ keepAlive: true })
    expect(await request(`${url}/fast`, keepAlive)).toBe('done')
    const slow = request(`${url}/slow`, keepAlive)
    await lines.next()
    const started = performance.now()
    child.kill(signal)
    expect(await slow).toBe('done')
    expect(await exit).toEqual([0, null])
    expect(performance.now() - started).toBeLessThan(2_500)
    expect(existsSync(certDir)).toBe(false)
    keepAlive.destroy()
  })

test('a request that does not finish is cut, so that the process exits 0 within its grace period', async () => {
  const { child, exit, certDir, lines, url } = await startService(1_000)
  const stuck = request(`${url}/stuck`)
  const cut = expect(stuck).rejects.toThrow()
  await lines.next()
  const started = performance.now()
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
  expect(performance.now() - started).toBeLessThan(1_700)
  expect(existsSync(certDir)).toBe(false)
  await cut
})

test('what the application forgot to close does not keep it past its grace period', async () => {
  const { child, exit, certDir } = await startService(500, 'held')
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
  expect(existsSync(certDir)).toBe(false)
})

test('a second signal ends it at once', async () => {
  const { child, exit, lines, url } = await startService(20_000)
  const stuck = request(`${url}/stuck`)
  const cut = expect(stuck).rejects.toThrow()
  await lines.next()
  child.kill('SIGTERM')
  // The first one has been heard when no connection is accepted any more.
  await expect
    .poll(() =>
      request(`${url}/fast`).then(
        () => 'open',
        () => 'closed',
      ),
    )
    .toBe('closed')
  child.kill('SIGTERM')
  expect(await exit).toEqual([null, 'SIGTERM'])
  await cut
})

test('nothing listens for signals before it was asked to, nor after it was taken back', async () => {
  const count = () => process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')
  const before = count()
  const svid = await QuickStartSVID.create({ endpoint, files: false })
  expect(count()).toBe(before)
  const remove = svid.shutdownOnSignals()
  expect(count()).toBe(before + 2)
  remove()
  expect(count()).toBe(before)
  await svid.shutdown()
})
