import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { status } from '@grpc/grpc-js'
import { expect, onTestFinished, test } from 'vitest'
import type { TestWire } from '../../../src/dev/testing/index.js'
import { TestAgent } from '../../../src/dev/testing/index.js'
import { IndependentClient } from '../agent/independent-client.js'

async function start() {
  const agent = await TestAgent.start({ after: onTestFinished })
  const wire = await agent.wire()
  return { agent, wire, ...(await open(wire)) }
}

/** A client that is not ours, and its stream after the first message. */
async function open(wire: TestWire) {
  const client = new IndependentClient(wire.endpoint)
  onTestFinished(() => client.close())
  const stream = client.x509Svids()
  await stream.next()
  return { client, stream }
}

const newest = (agent: TestAgent) => Buffer.from(agent.workloads[0]!.svid.certificatesDer())

test('passes everything on as long as it is told nothing, calls and updates', async () => {
  const { agent, wire, client, stream } = await start()
  await agent.rotate()
  expect((await stream.next()).svids[0]!.x509_svid).toEqual(newest(agent))
  const { svids } = await client.unary<{ svids: object[] }>('FetchJWTSVID', { audience: ['a'] })
  expect(svids).toHaveLength(1)
  expect([wire.connections, wire.waiting]).toEqual([1, false])
})

for (const [what, act, code] of [
  ['breakOff()', (wire) => wire.breakOff(), status.UNAVAILABLE],
  ['endHalfWay()', (wire) => wire.endHalfWay(), status.INTERNAL],
  [
    'replaceNext() by nothing and a cut',
    (wire) => wire.replaceNext((_message, client) => client.destroy()),
    status.UNAVAILABLE,
  ],
] as const satisfies readonly (readonly [string, (wire: TestWire) => void, status])[])
  test(`${what} waits for the next message, ends the stream, and leaves those after it alone`, async () => {
    const { agent, wire, stream } = await start()
    act(wire)
    expect(wire.waiting).toBe(true)
    await agent.rotate()
    expect((await stream.status).code).toBe(code)
    expect(wire.waiting).toBe(false)
    expect(stream.messages).toHaveLength(1)
    expect((await open(wire)).stream.messages[0]!.svids[0]!.x509_svid).toEqual(newest(agent))
  })

test('goAway() lets the open stream go on, and the next one takes another connection', async () => {
  const { agent, wire, client, stream } = await start()
  wire.goAway()
  await agent.rotate()
  await stream.next()
  expect((await client.x509Svids().next()).svids).toHaveLength(1)
  expect(wire.connections).toBe(2)
  await agent.rotate()
  expect((await stream.next()).svids[0]!.x509_svid).toEqual(newest(agent))
})

test('goAway() with an error code throws out', async () => {
  const { wire, stream } = await start()
  wire.goAway(11)
  expect((await stream.status).code).not.toBe(status.OK)
  expect((await open(wire)).stream.messages).toHaveLength(1)
})

// With a bare socket: a client of HTTP/2 on Node.js 20 that meets rubbish stops to read, and does not see the cut either.
test('inject() sends any bytes into what is open, and cut() ends it', async () => {
  const agent = await TestAgent.start({ after: onTestFinished })
  const wire = await agent.wire()
  const socket = connect(wire.endpoint.slice('unix://'.length))
  onTestFinished(() => void socket.destroy())
  const heard: Buffer[] = []
  socket.on('data', (bytes: Buffer) => void heard.push(bytes))
  const closed = once(socket, 'close')
  // The agent's side of HTTP/2 begins by itself.
  await once(socket, 'data')
  wire.inject(Buffer.from('rubbish'))
  await expect.poll(() => Buffer.concat(heard).toString('latin1'), { interval: 5 }).toMatch(/rubbish$/)
  wire.cut()
  await closed
})

test('freeze() holds what was open and nothing else', async () => {
  const { agent, wire, stream } = await start()
  wire.freeze()
  await agent.rotate()
  const other = await open(wire)
  await agent.rotate()
  expect((await other.stream.next()).svids[0]!.x509_svid).toEqual(newest(agent))
  expect(stream.messages).toHaveLength(1)
  wire.cut()
  expect((await stream.status).code).toBe(status.UNAVAILABLE)
})

test('an agent that is away is a connection that is hung up; one that returns is passed on', async () => {
  const { agent, wire, stream } = await start()
  await agent.die()
  expect((await stream.status).code).toBe(status.UNAVAILABLE)
  const call = new IndependentClient(wire.endpoint)
  onTestFinished(() => call.close())
  expect((await call.x509Svids().status).code).toBe(status.UNAVAILABLE)
  await agent.comeBack()
  expect((await open(wire)).stream.messages).toHaveLength(1)
})

test('leads to the workload that is named, over TCP too', async () => {
  const agent = await TestAgent.start({ after: onTestFinished })
  const workload = await agent.workload('spiffe://example.org/tcp', { tcp: true })
  const { stream } = await open(await agent.wire(workload))
  expect(stream.messages[0]!.svids[0]!.spiffe_id).toBe('spiffe://example.org/tcp')
})

test('is closed with its agent, and by itself as often as one likes', async () => {
  const agent = await TestAgent.start()
  const [first, second] = [await agent.wire(), await agent.wire()]
  const there = () => [first, second].map(({ endpoint }) => existsSync(endpoint.slice('unix://'.length)))
  expect(there()).toEqual([true, true])
  await first.close()
  await first[Symbol.asyncDispose]()
  expect(there()).toEqual([false, true])
  await agent.close()
  expect(there()).toEqual([false, false])
})
