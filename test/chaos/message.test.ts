import type { Socket } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { endStreamFlag, frameType, goawayFrame, http2Frame } from '../../src/dev/testing/http2-frame.js'
import { TestAgent, type TestWire, type WireAct } from '../../src/dev/testing/index.js'
import { X509Source } from '../../src/source/index.js'
import { untilHolds, watchOver } from './keeping.js'
import { expectNothingLeft } from './leaks.js'

expectNothingLeft()

async function start() {
  const agent = await TestAgent.start({ after: onTestFinished })
  const wire = await agent.wire()
  const source = await X509Source.open({ endpoint: wire.endpoint })
  onTestFinished(() => source.close())
  return { agent, wire, source, newest: () => agent.workloads[0]!.svid }
}

const half = (payload: Buffer) => payload.subarray(0, payload.length >> 1)
const hangUp = (client: Socket, bytes: Uint8Array) => client.write(bytes, () => client.destroy())

describe('a source in mid-life keeps its SVID, and has the next one by itself, when the message', () => {
  for (const [what, act] of [
    [
      'breaks off in mid-frame with the connection',
      ({ bytes }, client) => hangUp(client, bytes.subarray(0, bytes.length >> 1)),
    ],
    [
      'breaks off in the five bytes before it with the connection',
      ({ stream, payload }, client) => hangUp(client, http2Frame(frameType.data, 0, stream, payload.subarray(0, 3))),
    ],
    [
      'is half there when its stream ends',
      ({ stream, payload }, client) => client.write(http2Frame(frameType.data, endStreamFlag, stream, half(payload))),
    ],
    [
      'is half there when its stream is reset',
      ({ stream, payload }, client) => {
        client.write(http2Frame(frameType.data, 0, stream, half(payload)))
        client.write(http2Frame(frameType.rstStream, 0, stream, Buffer.of(0, 0, 0, 2)))
      },
    ],
    [
      'says that it is four gigabytes long',
      ({ stream, payload }, client) =>
        client.write(
          http2Frame(frameType.data, 0, stream, Buffer.concat([Buffer.of(0, 255, 255, 255, 255), payload.subarray(5)])),
        ),
    ],
    [
      'says that it is compressed, and is not',
      ({ stream, payload }, client) =>
        client.write(http2Frame(frameType.data, 0, stream, Buffer.concat([Buffer.of(1), payload.subarray(1)]))),
    ],
    [
      'comes as a GOAWAY that takes the stream with it',
      (_message, client) => {
        client.write(goawayFrame(0))
        client.end()
      },
    ],
    ['comes as a GOAWAY with an error', (_message, client) => hangUp(client, goawayFrame(0, 11))],
  ] satisfies [string, WireAct][])
    test(what, async () => {
      const { agent, wire, source, newest } = await start()
      const faults = watchOver(source)
      const first = source.getX509Svid()
      let retries = 0
      source.on('retry', () => retries++)
      wire.replaceNext(act)
      await agent.rotate()
      await untilHolds(source, newest)
      expect(wire.waiting).toBe(false)
      expect(source.getX509Svid().equals(first)).toBe(false)
      expect(retries).toBeGreaterThan(0)
      expect(source.status()).toMatchObject({ state: 'ready', failures: 0, lastError: undefined })
      expect(faults).toEqual([])
    })

  test('has bytes in it that were changed on the way, and the stream goes on', async () => {
    const { agent, wire, source, newest } = await start()
    const faults = watchOver(source)
    const first = source.getX509Svid()
    wire.replaceNext(({ stream, payload }, client) => {
      const broken = Buffer.from(payload)
      broken.fill(0xff, 200, 260)
      client.write(http2Frame(frameType.data, 0, stream, broken))
    })
    const discarded = new Promise((resolve) => source.once('discarded', resolve))
    await agent.rotate()
    expect(await discarded).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
    expect(source.getX509Svid().equals(first)).toBe(true)
    await agent.rotate()
    await untilHolds(source, newest)
    expect(wire.connections).toBe(1)
    expect(faults).toEqual([])
  })
})

test('after a friendly GOAWAY the stream serves on, and the next one has a connection of its own', async () => {
  const { agent, wire, source, newest } = await start()
  const faults = watchOver(source)
  wire.goAway()
  await agent.rotate()
  await untilHolds(source, newest)
  expect(wire.connections).toBe(1)
  agent.endStreams()
  await agent.rotate()
  await untilHolds(source, newest)
  expect(wire.connections).toBe(2)
  expect(faults).toEqual([])
})

// Where something on a connection breaks the rules of HTTP/2, Node.js 20 stops to read from it, reports nothing and does
// not see the other end hang up (22 and later do). Like a machine that is gone, that leaves the clock to notice.
test('a connection that goes dead without a word is replaced before the SVID expires', async () => {
  const agent = await TestAgent.start({ svidTtlMs: 3_000, after: onTestFinished })
  const newest = () => agent.workloads[0]!.svid
  const cases: [string, (wire: TestWire) => void][] = [
    ['frozen', (wire) => wire.freeze()],
    ['rubbish', (wire) => wire.replaceNext((_message, client) => client.write(Buffer.alloc(500, 0xa5)))],
    ['HTTP/1', (wire) => wire.replaceNext((_message, client) => client.write('HTTP/1.1 400 Bad Request\r\n\r\n'))],
    [
      'a stream that nobody opened',
      (wire) => wire.replaceNext(({ payload }, client) => client.write(http2Frame(frameType.data, 0, 99, payload))),
    ],
  ]
  const outcomes = await Promise.all(
    cases.map(async ([what, act]) => {
      const wire = await agent.wire()
      const source = await X509Source.open({ endpoint: wire.endpoint })
      onTestFinished(() => source.close())
      const faults = watchOver(source)
      const first = source.getX509Svid()
      act(wire)
      await vi.waitFor(() => expect(source.getX509Svid().equals(first)).toBe(false), { timeout: 5_000, interval: 5 })
      await untilHolds(source, newest)
      return { what, faults, renewed: wire.connections > 1, waiting: wire.waiting }
    }),
  )
  expect(outcomes).toEqual(cases.map(([what]) => ({ what, faults: [], renewed: true, waiting: false })))
})
