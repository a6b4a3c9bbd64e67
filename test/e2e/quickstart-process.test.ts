import { existsSync } from 'node:fs'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createHttpsServer } from '../../src/adapters/https/index.js'
import { DevAgent } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { X509Source } from '../../src/source/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'
import { startMisbehavingAgent, startRawServer } from '../quickstart/misbehaving-agent.js'
import { buildForNode } from './build-for-node.js'
import { runProgram } from './run-program.js'

const [workloadId, serverId] = ['spiffe://example.org/script', 'spiffe://example.org/server']

let agent: DevAgent
let endpoint: string

beforeAll(async () => {
  agent = await DevAgent.start({ trustDomain: 'example.org' })
  endpoint = (await agent.workload(workloadId)).endpoint
})

afterAll(() => agent.close())

test('a script that ends after initialize() exits 0 within a second, without shutdown()', async () => {
  const { code, stdout, stderr, lingeredMs } = await runProgram('end-after-initialize.mjs', [endpoint])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const { spiffeId, certFile } = JSON.parse(stdout) as { spiffeId: string; certFile: string }
  expect(spiffeId).toBe(workloadId)
  expect(lingeredMs).toBeLessThan(1_000)
  expect(existsSync(dirname(certFile))).toBe(false)
})

for (const [reason, start] of [
  ['accepts and stays silent', (path: string) => startRawServer(path)],
  ['holds the stream without a message', (path: string) => startMisbehavingAgent(path, 'never answers')],
] as const)
  test(`a script whose agent ${reason} ends with an error, neither hanging nor silently`, async () => {
    const silent = await start(join(await temporaryDirectory(), 'agent.sock'))
    try {
      const { code, stdout, stderr, ranMs } = await runProgram('initialize-only.mjs', [silent.endpoint, '700'])
      expect(code).toBe(1)
      expect(stdout).toBe('')
      expect(stderr).toContain(silent.endpoint)
      expect(stderr).toMatch(/code: 'ERR_[A-Z_]+'/)
      expect(ranMs).toBeGreaterThan(700)
    } finally {
      await silent.close()
    }
  })

test('a script without an agent ends with an error', async () => {
  const missing = `unix://${join(await temporaryDirectory(), 'agent.sock')}`
  const { code, stderr } = await runProgram('initialize-only.mjs', [missing, '500'])
  expect(code).toBe(1)
  expect(stderr).toContain(missing)
})

test('a script whose only activity is a request in flight gets its answer, and ends', async () => {
  const source = await X509Source.open({ endpoint: (await agent.workload(serverId)).endpoint })
  const server = createHttpsServer(source, { authorize: workloadId }, (_request, response) => {
    response.flushHeaders()
    // The answer comes only after everything else in the script has long come to rest.
    setTimeout(() => response.end('paid'), 500)
  })
  try {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const { code, stdout, stderr, ranMs } = await runProgram('request-in-flight.mjs', [endpoint, url, serverId])
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'paid', stderr: '' })
    expect(ranMs).toBeLessThan(5_000)
  } finally {
    server.closeAllConnections()
    server.close()
    await source.close()
  }
})

test('threads: a worker reads the files of the main thread, another has a stream of its own', async () => {
  const { files } = await buildForNode()
  const { code, stdout, stderr } = await runProgram('threads.mjs', [endpoint, files])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const { serialNumber } = agent.workloads[0]!.svid
  expect(JSON.parse(stdout)).toEqual({ main: serialNumber, files: serialNumber, stream: serialNumber, kept: true })
})

test('a script that takes its identity from files ends by itself, without close()', async () => {
  const svid = await QuickStartSVID.create({ endpoint })
  const { code, stdout, stderr, lingeredMs } = await runProgram('read-files.mjs', [dirname(svid.certFilePath)], {
    entry: 'files',
  })
  await svid.shutdown()
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: workloadId, stderr: '' })
  expect(lingeredMs).toBeLessThan(1_000)
})

test('a script whose files never come ends with an error, neither hanging nor silently', async () => {
  const { code, stderr, ranMs } = await runProgram('wait-for-files.mjs', [await temporaryDirectory()], {
    entry: 'files',
  })
  expect(code).toBe(1)
  expect(stderr).toContain(`code: 'ERR_FILE_READ_FAILED'`)
  expect(ranMs).toBeGreaterThan(300)
})
