import { mkdtemp, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { status } from '@grpc/grpc-js'
import { TestAgent } from '../../src/dev/testing/index.js'
import { X509Source } from '../../src/source/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import { untilHolds, watchOver } from './keeping.js'
import { expectNothingLeft } from './leaks.js'

expectNothingLeft()

async function open(options: Parameters<typeof X509Source.open>[0]): Promise<X509Source> {
  const source = await X509Source.open(options)
  onTestFinished(() => source.close())
  return source
}

async function start(options: { workloads?: string[] } = {}) {
  const agent = await TestAgent.start({ ...options, after: onTestFinished })
  return { agent, source: await open({ endpoint: agent.endpoint }), newest: () => agent.workloads[0]!.svid }
}

const pathOf = (endpoint: string) => endpoint.slice('unix://'.length)
const retried = (source: X509Source) => new Promise((resolve) => source.once('retry', resolve))

describe('a source outlives an agent that', () => {
  test('dies and comes back four times, without a breath between', async () => {
    const { agent, source, newest } = await start()
    const faults = watchOver(source)
    for (let round = 0; round < 4; round++) {
      const left = retried(source)
      await agent.die({ leaveFile: round % 2 === 0 })
      await left
      await agent.comeBack()
    }
    await agent.rotate()
    await untilHolds(source, newest)
    expect(faults).toEqual([])
  })

  test('is followed by another one under the same path, with another authority', async () => {
    const { agent, source } = await start()
    const faults = watchOver(source)
    const old = agent.bundle
    await agent.die()
    const other = await TestAgent.start({ trustDomain: 'other.example', after: onTestFinished })
    await rename(pathOf(other.endpoint), pathOf(agent.endpoint))
    await untilHolds(source, () => other.workloads[0]!.svid)
    // A snapshot is a whole: nothing of the other authority is left in it.
    expect(source.getX509Bundle(old.trustDomain)).toBeUndefined()
    expect(source.context.bundles.size).toBe(1)
    expect(faults).toEqual([])
    await rm(pathOf(agent.endpoint))
  })

  test('is replaced under its path while it still serves: the stream stays until it ends', async () => {
    const { agent, source, newest } = await start()
    const faults = watchOver(source)
    const other = await TestAgent.start({ after: onTestFinished })
    await rename(pathOf(other.endpoint), pathOf(agent.endpoint))
    await agent.rotate()
    await untilHolds(source, newest)
    agent.cut()
    await untilHolds(source, () => other.workloads[0]!.svid)
    expect(source.getX509Bundle(other.bundle.trustDomain)?.equals(other.bundle)).toBe(true)
    expect(faults).toEqual([])
    await rm(pathOf(agent.endpoint))
  })

  test('ends its streams again and again', async () => {
    const { agent, source, newest } = await start()
    const faults = watchOver(source)
    for (let round = 0; round < 5; round++) {
      const left = retried(source)
      await vi.waitFor(() => expect(agent.workloads[0]!.steering.openStreams).toBe(1), { interval: 5 })
      agent.endStreams()
      await left
    }
    await agent.rotate()
    await untilHolds(source, newest)
    expect(faults).toEqual([])
  })

  test('takes the stream and stalls: a fresh stream is opened, and that one is served', async () => {
    const agent = await TestAgent.start({ after: onTestFinished })
    const client = new WorkloadApiClient({ endpoint: agent.endpoint, firstMessageTimeoutMs: 150 })
    onTestFinished(() => client.close())
    const source = await open({ client })
    const faults = watchOver(source)
    agent.stall()
    agent.cut()
    await vi.waitFor(() => expect(source.status().lastError?.code).toBe('ERR_TIMEOUT'), { timeout: 5_000 })
    await agent.rotate()
    agent.behave()
    await untilHolds(source, () => agent.workloads[0]!.svid)
    expect(faults).toEqual([])
  })
})

describe('a status in mid-stream that may pass keeps the SVID, and the next one comes by itself:', () => {
  for (const name of [
    'CANCELLED',
    'UNKNOWN',
    'DEADLINE_EXCEEDED',
    'NOT_FOUND',
    'RESOURCE_EXHAUSTED',
    'FAILED_PRECONDITION',
    'ABORTED',
    'INTERNAL',
    'UNAVAILABLE',
    'DATA_LOSS',
    'UNAUTHENTICATED',
  ] as const)
    test(name, async () => {
      const { agent, source, newest } = await start()
      const faults = watchOver(source)
      const left = retried(source)
      agent.deny(status[name])
      expect(await left).toMatchObject({ error: { grpcStatus: status[name] } })
      await agent.rotate()
      agent.behave()
      await untilHolds(source, newest)
      expect(faults).toEqual([])
    })
})

test('a denial in mid-stream takes the SVID away, and it comes back without a restart', async () => {
  const { agent, source, newest } = await start()
  const withdrawn = new Promise((resolve) => source.once('withdrawn', resolve))
  agent.withdraw()
  expect(await withdrawn).toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
  expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))
  await agent.restore()
  await untilHolds(source, newest)
})

for (const name of ['INVALID_ARGUMENT', 'UNIMPLEMENTED'] as const)
  test(`${name} in mid-stream ends the asking for good, and the SVID stays until it expires`, async () => {
    const { agent, source } = await start()
    const stopped = new Promise((resolve) => source.once('stopped', resolve))
    const first = source.getX509Svid()
    agent.deny(status[name])
    expect(await stopped).toMatchObject({ grpcStatus: status[name] })
    expect(source.getX509Svid().equals(first)).toBe(true)
    expect(source.status().state).toBe('stopped')
  })

describe('a source waits out what listens in the place of its agent and', () => {
  for (const [what, greet] of [
    ['talks rubbish', (socket: Socket) => socket.write(Buffer.alloc(500, 0xa5))],
    ['talks HTTP/1', (socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['talks rubbish and hangs up', (socket: Socket) => socket.end(Buffer.alloc(500, 0xa5))],
    ['hangs up', (socket: Socket) => socket.destroy()],
    ['says nothing', () => undefined],
  ] as const)
    test(what, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'impostor-'))
      onTestFinished(() => rm(directory, { recursive: true }))
      const path = join(directory, 'agent.sock')
      const agent = await TestAgent.start({ directory, after: onTestFinished })
      await rename(pathOf(agent.endpoint), path)
      const client = new WorkloadApiClient({ endpoint: `unix://${path}`, connectTimeoutMs: 300 })
      onTestFinished(() => client.close())
      const source = await open({ client })
      const faults = watchOver(source)

      const sockets = new Set<Socket>()
      const impostor = createServer((socket) => {
        sockets.add(socket.on('error', () => undefined))
        greet(socket)
      })
      await new Promise<void>((resolve) => impostor.listen(join(directory, 'impostor.sock'), resolve))
      await rename(join(directory, 'impostor.sock'), path)
      await agent.die()
      // The second time it knows that the last connection failed, and looks before it leaps.
      await vi.waitFor(() => expect(source.status().failures).toBeGreaterThan(2), { timeout: 5_000 })
      expect(source.status().state).toBe('reconnecting')
      expect(sockets.size).toBeGreaterThan(1)

      await agent.comeBack()
      await rename(pathOf(agent.endpoint), path)
      await agent.rotate()
      await untilHolds(source, () => agent.workloads[0]!.svid)
      expect(faults).toEqual([])
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => impostor.close(resolve))
    })
})

describe('two at once:', () => {
  test('an outage of one workload does not touch the other', async () => {
    const { agent, source: first } = await start({
      workloads: ['spiffe://example.org/one', 'spiffe://example.org/two'],
    })
    const [one, two] = agent.workloads
    const second = await open({ endpoint: two!.endpoint })
    let disturbed = 0
    second.on('retry', () => disturbed++)
    const left = retried(first)
    await one!.steering.die()
    await left
    await two!.rotate()
    await untilHolds(second, () => two!.svid)
    await one!.rotate()
    await one!.steering.comeBack()
    await untilHolds(first, () => one!.svid)
    expect([first, second].map((source) => source.getX509Svid().id.path)).toEqual(['/one', '/two'])
    expect(disturbed).toBe(0)
  })

  test('two sources on one client share a connection, and both recover from its loss', async () => {
    const agent = await TestAgent.start({ after: onTestFinished })
    const client = new WorkloadApiClient({ endpoint: agent.endpoint })
    onTestFinished(() => client.close())
    const sources = [await open({ client }), await open({ client })]
    const faults = sources.map(watchOver)
    const left = Promise.all(sources.map(retried))
    agent.cut()
    await left
    await agent.rotate()
    for (const source of sources) await untilHolds(source, () => agent.workloads[0]!.svid)
    expect(agent.workloads[0]!.steering.openStreams).toBe(2)
    await sources[0]!.close()
    await agent.rotate()
    await untilHolds(sources[1]!, () => agent.workloads[0]!.svid)
    expect(faults.flat()).toEqual([])
  })
})

test('close() in the middle of an outage leaves nothing to the agent that returns', async () => {
  const { agent, source } = await start()
  const left = retried(source)
  await agent.die()
  await left
  await source.close()
  await agent.comeBack()
  // Whoever came after close() would come before this one.
  const probe = connect(pathOf(agent.endpoint))
  await new Promise((resolve) => probe.once('connect', resolve))
  expect(agent.workloads[0]!.steering.openStreams).toBe(0)
  probe.destroy()
})
