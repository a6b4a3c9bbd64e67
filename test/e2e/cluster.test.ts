import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DevAgent } from '../../src/dev/agent/index.js'
import type { DevAgentCall, DevWorkload } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { buildForNode } from './build-for-node.js'
import { runProgram } from './run-program.js'

const [serviceId, clientId] = ['spiffe://example.org/service', 'spiffe://example.org/client']

let agent: DevAgent
let service: DevWorkload
const calls: DevAgentCall[] = []

beforeAll(async () => {
  agent = await DevAgent.start({ trustDomain: 'example.org', onCall: (call) => calls.push(call) })
  service = await agent.workload(serviceId)
})

afterAll(() => agent.close())

const streams = () =>
  calls.filter(({ endpoint, method }) => endpoint === service.endpoint && method.endsWith('/FetchX509SVID'))

test('cluster: each worker has one stream, all follow a rotation, and each ends in good order', async () => {
  await using client = await QuickStartSVID.create({
    endpoint: (await agent.workload(clientId)).endpoint,
    files: false,
  })
  const { index } = await buildForNode()
  const program = join(import.meta.dirname, 'programs', 'cluster.mjs')
  const child = spawn(process.execPath, [program, index, service.endpoint, clientId, '3'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const port = (await lines.next()).value as string
    expect(streams()).toHaveLength(3)

    const httpsAgent = client.httpsAgent({ authorize: serviceId, keepAlive: false })
    const ask = () =>
      new Promise<{ pid: number; serialNumber: string }>((resolve, reject) => {
        get({ host: '127.0.0.1', port, agent: httpsAgent }, (response) => {
          json(response).then((value) => resolve(value as { pid: number; serialNumber: string }), reject)
        }).on('error', reject)
      })
    /** What the workers hold, each by its process. */
    const askAll = async () => {
      const seen = new Map<number, string>()
      for (let i = 0; i < 12; i++) {
        const { pid, serialNumber } = await ask()
        seen.set(pid, serialNumber)
      }
      return [...seen.values()]
    }
    const same = () => Array<string>(3).fill(service.svid.serialNumber)
    expect(await askAll()).toEqual(same())
    await agent.rotate()
    await expect.poll(askAll, { timeout: 5_000 }).toEqual(same())
    // A rotation comes through the streams that there are.
    expect(streams()).toHaveLength(3)

    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    expect(JSON.parse((await lines.next()).value as string)).toEqual({ codes: [0, 0, 0], left: [] })
    expect(await exit).toEqual([0, null])
  } finally {
    child.kill('SIGKILL')
  }
})

test('worker threads: one stream for each thread that asks the agent, none for one that reads files', async () => {
  const before = streams().length
  const { files } = await buildForNode()
  const { code, stderr } = await runProgram('threads.mjs', [service.endpoint, files])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(streams()).toHaveLength(before + 2)
})
