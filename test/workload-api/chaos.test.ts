import { mkdtemp, rm } from 'node:fs/promises'
import { constants, createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { connect, createServer as createNetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { X509Source } from '../../src/source/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import { WorkloadApiClient, type WatchEvent } from '../../src/workload-api/index.js'
import { Issuer, ScriptedAgent } from './scripted-agent.js'

// Below gRPC: an agent made of bare HTTP/2, which can do what no gRPC server lets a test do.

let issuer: Issuer
let good: X509Svid
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  issuer = await Issuer.create()
  good = await issuer.issue()
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Length-prefixed, as gRPC frames a message. */
function frame(message: Uint8Array, flag = 0): Buffer {
  const header = Buffer.alloc(5)
  header[0] = flag
  header.writeUInt32BE(message.length, 1)
  return Buffer.concat([header, message])
}

const headers = { ':status': 200, 'content-type': 'application/grpc+proto' }
type Act = (stream: ServerHttp2Stream, nth: number, session: ServerHttp2Session) => void

async function startHttp2(
  act: Act,
): Promise<{ endpoint: string; streams: () => number; sessions: Set<ServerHttp2Session> }> {
  const directory = await mkdtemp(join(tmpdir(), 'chaos-'))
  const path = join(directory, 'agent.sock')
  const server: Http2Server = createServer()
  const sessions = new Set<ServerHttp2Session>()
  let count = 0
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => undefined)
  })
  server.on('stream', (stream) => {
    stream.on('error', () => undefined)
    if (stream.session) act(stream, count++, stream.session as ServerHttp2Session)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  cleanups.push(async () => {
    for (const session of sessions) session.destroy()
    await new Promise((resolve) => server.close(resolve))
    await rm(directory, { recursive: true, force: true })
  })
  return { endpoint: `unix://${path}`, streams: () => count, sessions }
}

function sendGood(stream: ServerHttp2Stream): void {
  stream.respond(headers)
  stream.write(frame(issuer.message([good])))
}

function endWith(stream: ServerHttp2Stream, status: number): void {
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }))
  stream.end()
}

async function open(endpoint: string, options: { firstMessageTimeoutMs?: number } = {}): Promise<X509Source> {
  const client = new WorkloadApiClient({ endpoint, backoff: () => 20, ...options })
  cleanups.push(() => client.close())
  const source = await X509Source.open({ client, initialTimeoutMs: 5_000 })
  cleanups.push(() => source.close())
  return source
}

describe('the source gets its SVID from the next stream when the first one', () => {
  for (const [what, act] of [
    [
      'ends half-way through a message',
      (stream) => {
        stream.respond(headers)
        stream.write(frame(issuer.message([good])).subarray(0, 100))
        stream.end()
      },
    ],
    [
      'is reset half-way through a message',
      (stream) => {
        stream.respond(headers)
        stream.write(frame(issuer.message([good])).subarray(0, 100), () =>
          stream.close(constants.NGHTTP2_INTERNAL_ERROR),
        )
      },
    ],
    ['is refused', (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM)],
    [
      'loses its connection half-way through a message',
      (stream, _nth, session) => {
        stream.respond(headers)
        stream.write(frame(issuer.message([good])).subarray(0, 100), () => session.destroy())
      },
    ],
    ['loses its connection before headers', (_stream, _nth, session) => session.destroy()],
    [
      'gets an HTTP error',
      (stream) => {
        stream.respond({ ':status': 503, 'content-type': 'text/plain' })
        stream.end('no')
      },
    ],
    ...[403, 404].map((status): [string, Act] => [
      `gets HTTP ${status}, which no agent said`,
      (stream) => stream.respond({ ':status': status }, { endStream: true }),
    ]),
    ['is reset for want of security', (stream) => stream.close(constants.NGHTTP2_INADEQUATE_SECURITY)],
    [
      'gets another content type',
      (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'text/html' })
        stream.end('<html>')
      },
    ],
    [
      'ends without trailers',
      (stream) => {
        stream.respond(headers)
        stream.end()
      },
    ],
    [
      'announces a message that is too large',
      (stream) => {
        stream.respond(headers)
        stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))
      },
    ],
    [
      'says that the message is compressed',
      (stream) => {
        stream.respond(headers)
        stream.write(frame(issuer.message([good]), 1))
      },
    ],
    [
      'is dropped by an agent that goes away',
      (stream, _nth, session) => {
        session.goaway(constants.NGHTTP2_NO_ERROR)
        stream.close(constants.NGHTTP2_CANCEL)
      },
    ],
  ] satisfies [string, Act][])
    test(what, async () => {
      const { endpoint, streams } = await startHttp2((stream, nth, session) =>
        nth === 0 ? act(stream, nth, session) : sendGood(stream),
      )
      const source = await open(endpoint)
      expect(source.getX509Svid().equals(good)).toBe(true)
      expect(streams()).toBe(2)
    })

  test('stalls after its headers', async () => {
    const { endpoint, streams, sessions } = await startHttp2((stream, nth) => {
      if (nth === 0) stream.respond(headers)
      else sendGood(stream)
    })
    const source = await open(endpoint, { firstMessageTimeoutMs: 200 })
    expect(source.getX509Svid().equals(good)).toBe(true)
    expect(streams()).toBe(2)
    // A connection that went silent is not trusted with the next stream.
    expect(sessions.size).toBe(2)
  })
})

for (const [what, call] of [
  ['FetchX509SVID', (client, timeoutMs) => client.fetchX509Context({ timeoutMs })],
  ['FetchJWTSVID', (client, timeoutMs) => client.fetchJwtSvid('a', { timeoutMs })],
] satisfies [string, (client: WorkloadApiClient, timeoutMs: number) => Promise<unknown>][])
  test(`${what} without an answer in time: the next call has a connection of its own`, async () => {
    // The first connection falls silent after its first call.
    const { endpoint, sessions } = await startHttp2((stream, nth, session) => {
      if (nth === 0) sendGood(stream)
      else if (session !== [...sessions][0]) stream.respond({ ...headers, 'grpc-status': '7' }, { endStream: true })
    })
    const client = new WorkloadApiClient({ endpoint })
    cleanups.push(() => client.close())
    await client.fetchX509Context()
    await expect(call(client, 50)).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    await expect(call(client, 15_000)).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
    expect(sessions.size).toBe(2)
  })

test('an agent that does not say its dialect is asked again over another connection', async () => {
  const { endpoint, sessions } = await startHttp2(() => undefined)
  const client = new WorkloadApiClient({ endpoint, firstMessageTimeoutMs: 50, backoff: () => 20 })
  cleanups.push(() => client.close())
  const retries: WatchEvent[] = []
  const onEvent = (event: WatchEvent) => event.type === 'retry' && retries.push(event)
  const watch = client.watchJwtBundles({ onEvent })
  void watch.next().catch(() => undefined)
  await expect.poll(() => retries[0]).toMatchObject({ kind: 'transient', error: { code: 'ERR_TIMEOUT' } })
  await expect.poll(() => sessions.size).toBeGreaterThan(1)
  await watch.return?.()
})

for (const [what, act] of [
  ['HTTP 403', (stream) => stream.respond({ ':status': 403 }, { endStream: true })],
  ['HTTP 404', (stream) => stream.respond({ ':status': 404 }, { endStream: true })],
  ['a reset for want of security', (stream) => stream.close(constants.NGHTTP2_INADEQUATE_SECURITY)],
] satisfies [string, Act][])
  test(`${what} in the place of the agent takes no identity away and ends no watch`, async () => {
    const second = await issuer.issue()
    const { endpoint, sessions } = await startHttp2((stream, nth) => {
      if (nth === 1 || nth === 2) act(stream)
      else {
        stream.respond(headers)
        stream.write(frame(issuer.message([nth === 0 ? good : second])))
      }
    })
    const source = await open(endpoint)
    const taken: string[] = []
    source.on('withdrawn', () => taken.push('withdrawn')).on('stopped', () => taken.push('stopped'))
    for (const session of sessions) session.destroy()
    await expect.poll(() => source.getX509Svid().equals(second)).toBe(true)
    expect(taken).toEqual([])
  })

test('a graceful GOAWAY lets the stream go on, and the next one has a connection of its own', async () => {
  let first: ServerHttp2Stream | undefined
  const second = await issuer.issue()
  const { endpoint, streams, sessions } = await startHttp2((stream, nth) => {
    if (nth === 0) first = stream
    stream.respond(headers, { waitForTrailers: true })
    stream.write(frame(issuer.message([nth === 0 ? good : second])))
  })
  const source = await open(endpoint)
  const [session] = sessions
  session?.goaway(constants.NGHTTP2_NO_ERROR, 2 ** 31 - 1)
  first?.write(frame(issuer.message([second])))
  await expect.poll(() => source.getX509Svid().equals(second)).toBe(true)
  expect(streams()).toBe(1)
  if (first) endWith(first, 0)
  await expect.poll(streams).toBe(2)
  await expect.poll(() => sessions.size).toBe(2)
})

test('an agent that is dead behind a connection that stands is noticed by a ping, and asked over another one', async () => {
  const second = await issuer.issue()
  const { endpoint } = await startHttp2((stream, nth) => {
    stream.respond(headers)
    stream.write(frame(issuer.message([nth === 0 ? good : second])))
  })
  // Something in between that swallows everything from one moment on, for the connections of that moment.
  const path = `${endpoint.slice('unix://'.length)}.between`
  const pairs: Socket[][] = []
  const between = createNetServer((near) => {
    const far = connect(endpoint.slice('unix://'.length))
    pairs.push([near, far])
    near.pipe(far).pipe(near)
    for (const socket of [near, far]) socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => between.listen(path, resolve))
  cleanups.push(() => {
    for (const socket of pairs.flat()) socket.destroy()
    return new Promise((resolve) => between.close(resolve))
  })
  const client = new WorkloadApiClient({ endpoint: `unix://${path}`, keepaliveMs: 100, keepaliveTimeoutMs: 100 })
  cleanups.push(() => client.close())
  const source = await X509Source.open({ client })
  cleanups.push(() => source.close())
  for (const [near, far] of pairs) {
    near?.unpipe()
    far?.unpipe()
    near?.resume()
    far?.resume()
  }
  await expect.poll(() => source.getX509Svid().equals(second), { timeout: 5_000 }).toBe(true)
  expect(pairs.length).toBeGreaterThanOrEqual(2)
})

test('a message that comes in single bytes is a message', async () => {
  const { endpoint } = await startHttp2((stream) => {
    stream.respond(headers)
    for (const byte of frame(issuer.message([good]))) stream.write(Buffer.of(byte))
  })
  expect((await open(endpoint)).getX509Svid().equals(good)).toBe(true)
})

test('ten thousand updates in a row end with the last one', { timeout: 60_000 }, async () => {
  const last = await issuer.issue('/last')
  const messages = [issuer.message([good]), issuer.message([await issuer.issue('/other')])]
  const { endpoint } = await startHttp2((stream) => {
    stream.respond(headers)
    const all = Array.from({ length: 9_999 }, (_, index) => frame(messages[index % 2] ?? Buffer.alloc(0)))
    stream.write(Buffer.concat([...all, frame(issuer.message([last]))]))
  })
  const source = await open(endpoint)
  let read = 0
  for await (const context of source.updates()) {
    read++
    if (context.defaultSvid.equals(last)) break
  }
  expect(source.status().messages).toEqual({ updates: 10_000, unchanged: 0, discarded: 0 })
  expect(read).toBeLessThanOrEqual(10_000)
})

test('two clients at once do not see each other', async () => {
  const other = await issuer.issue('/other')
  const { endpoint, sessions } = await startHttp2((stream, nth) => {
    stream.respond(headers)
    stream.write(frame(issuer.message([nth === 0 ? good : other])))
  })
  const one = await open(endpoint)
  const two = await open(endpoint)
  expect([one.getX509Svid().id.path, two.getX509Svid().id.path]).toEqual(['/web', '/other'])
  await one.close()
  expect(two.getX509Svid().id.path).toBe('/other')
  expect(sessions.size).toBe(2)
})

test(
  'ten outages with a new socket file: never more than half a second between two attempts',
  { timeout: 60_000 },
  async () => {
    const svids = await Promise.all(Array.from({ length: 11 }, () => issuer.issue()))
    const messageAt = (index: number) => issuer.message([svids[index] ?? good])
    const agent = await ScriptedAgent.start({ FetchX509SVID: (call) => call.write(messageAt(0)) })
    cleanups.push(() => agent.close())
    const source = await X509Source.open({ endpoint: agent.endpoint })
    cleanups.push(() => source.close())
    const delays: number[] = []
    source.on('retry', ({ kind, delayMs }) => kind === 'unreachable' && delays.push(delayMs))
    for (let round = 1; round <= 10; round++) {
      await agent.die()
      const before = delays.length
      // Long enough for the delays to have grown to their longest.
      await vi.waitFor(() => expect(delays.length - before).toBeGreaterThanOrEqual(5), { timeout: 10_000 })
      const update = new Promise((resolve) => source.once('update', resolve))
      await agent.listen({ FetchX509SVID: (call) => call.write(messageAt(round)) })
      await update
      expect(source.getX509Svid().equals(svids[round]!)).toBe(true)
    }
    expect(Math.max(...delays)).toBeLessThanOrEqual(500)
  },
)
