import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, createServer } from 'node:http2'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { CallFailed, Connection } from '../../../src/workload-api/wire/connection.js'
import { frame } from '../../../src/workload-api/wire/framing.js'
import type { CallStatus } from '../../../src/workload-api/wire/status.js'
import { parseEndpoint } from '../../../src/workload-api/endpoint.js'

// Against bare HTTP/2, which says what no gRPC server would.

const options = { connectTimeoutMs: 2_000, maxMessageBytes: 1_000, keepaliveMs: Infinity, keepaliveTimeoutMs: 1_000 }
const grpc = { ':status': 200, 'content-type': 'application/grpc' }
const hello = Buffer.from('hello')
const cleanups: (() => unknown)[] = []
const never = new AbortController().signal

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Act = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, session: ServerHttp2Session) => void

async function open(
  act: Act,
  connectTimeoutMs = options.connectTimeoutMs,
  meanwhile?: () => void,
): Promise<Connection> {
  const directory = await mkdtemp(join(tmpdir(), 'wire-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'agent.sock')
  const server = createServer()
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => undefined)
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    act(stream, headers, stream.session as ServerHttp2Session)
  })
  server.listen(path)
  await once(server, 'listening')
  cleanups.push(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  const opening = Connection.open(parseEndpoint(`unix://${path}`), { ...options, connectTimeoutMs }, never)
  meanwhile?.()
  const connection = await opening
  cleanups.push(() => connection.close())
  return connection
}

function answer(stream: ServerHttp2Stream, body: Uint8Array, trailers: Record<string, string>): void {
  stream.respond(grpc, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(body)
}

const request = { path: '/Service/Method', message: hello, metadata: { 'workload.spiffe.io': 'true' } }

async function statusOf(act: Act): Promise<CallStatus> {
  const connection = await open(act)
  const failure: unknown = await connection.unary(request, never).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(CallFailed)
  return (failure as CallFailed).status
}

test('a call carries its message, its metadata and the headers of gRPC', async () => {
  let headers: IncomingHttpHeaders = {}
  const received: Buffer[] = []
  const connection = await open((stream, sent) => {
    headers = sent
    stream.on('data', (octets: Buffer) => received.push(octets))
    stream.on('end', () => answer(stream, frame(Buffer.from('hi')), { 'grpc-status': '0' }))
  })
  const response = await connection.unary(request, never)
  expect(Buffer.from(response).toString()).toBe('hi')
  expect(Buffer.concat(received)).toEqual(Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), hello]))
  expect(headers).toMatchObject({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': '/Service/Method',
    te: 'trailers',
    'content-type': 'application/grpc',
    'workload.spiffe.io': 'true',
  })
})

test('a connection is made also while the process computes for longer than that may take', async () => {
  const connection = await open(
    () => undefined,
    options.connectTimeoutMs,
    () => {
      const until = performance.now() + 900
      while (performance.now() < until);
    },
  )
  expect(connection.usable).toBe(true)
})

test('a connection may take for ever', async () => {
  expect((await open(() => undefined, Infinity)).usable).toBe(true)
})

test('an empty message is a message', async () => {
  const connection = await open((stream) => answer(stream, frame(new Uint8Array(0)), { 'grpc-status': '0' }))
  expect((await connection.unary(request, never)).length).toBe(0)
})

describe('a call ends with', () => {
  for (const [what, code, act] of [
    ['the status of its trailers', 7, (stream) => answer(stream, Buffer.alloc(0), { 'grpc-status': '7' })],
    ['the status of its headers', 7, (stream) => stream.respond({ ...grpc, 'grpc-status': '7' }, { endStream: true })],
    ['UNKNOWN where the status is no number', 2, (stream) => answer(stream, frame(hello), { 'grpc-status': '0x0' })],
    ['UNKNOWN where there is no status', 2, (stream) => answer(stream, frame(hello), {})],
    [
      'UNKNOWN where the content type is another one',
      2,
      (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpcweb' })
        stream.end(frame(hello))
      },
    ],
    // Not the words of an agent: PERMISSION_DENIED and UNIMPLEMENTED have consequences.
    ...[401, 403, 404, 429, 502, 503, 504].map((status): [string, number, Act] => [
      `UNAVAILABLE for HTTP ${status}`,
      14,
      (stream) => stream.respond({ ':status': status }, { endStream: true }),
    ]),
    [
      'UNAVAILABLE for a reset because of security',
      14,
      (stream) => stream.close(constants.NGHTTP2_INADEQUATE_SECURITY),
    ],
    [
      'the status of its answer, whatever HTTP says',
      7,
      (stream) => stream.respond({ ':status': 403, 'grpc-status': '7' }, { endStream: true }),
    ],
    [
      'the status of its trailers, whatever its headers said',
      7,
      (stream) => {
        stream.respond({ ...grpc, 'grpc-status': '0' }, { waitForTrailers: true })
        stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '7' }))
        stream.end(frame(hello))
      },
    ],
    ['UNKNOWN for HTTP 418', 2, (stream) => stream.respond({ ':status': 418 }, { endStream: true })],
    ['UNAVAILABLE for a refused stream', 14, (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM)],
    ['CANCELLED for a cancelled stream', 1, (stream) => stream.close(constants.NGHTTP2_CANCEL)],
    ['INTERNAL for a reset', 13, (stream) => stream.close(constants.NGHTTP2_PROTOCOL_ERROR)],
    [
      'INTERNAL for a compressed message',
      13,
      (stream) => answer(stream, Buffer.concat([Buffer.of(1), frame(hello).subarray(1)]), { 'grpc-status': '0' }),
    ],
    [
      'INTERNAL for half a message and a good status',
      13,
      (stream) => answer(stream, frame(hello).subarray(0, 7), { 'grpc-status': '0' }),
    ],
    [
      'INTERNAL for half a prefix and a good status',
      13,
      (stream) => answer(stream, Buffer.concat([frame(hello), Buffer.of(0, 0)]), { 'grpc-status': '0' }),
    ],
    [
      'INTERNAL for a good status without a message',
      13,
      (stream) => answer(stream, hello.subarray(0, 0), { 'grpc-status': '0' }),
    ],
    [
      'INTERNAL for two messages where one is due',
      13,
      (stream) => answer(stream, Buffer.concat([frame(hello), frame(hello)]), { 'grpc-status': '0' }),
    ],
    [
      'RESOURCE_EXHAUSTED for a message that is too large',
      8,
      (stream) => answer(stream, frame(Buffer.alloc(1_001)), { 'grpc-status': '0' }),
    ],
    ['UNAVAILABLE for a lost connection', 14, (_stream, _headers, session) => session.destroy()],
    [
      'UNAVAILABLE for a GOAWAY with an error',
      14,
      (_stream, _headers, session) => session.goaway(constants.NGHTTP2_INTERNAL_ERROR, 0),
    ],
  ] satisfies [string, number, Act][])
    test(what, async () => {
      expect((await statusOf(act)).code).toBe(code)
    })
})

test('a connection on which a call was refused gets no more of them', async () => {
  const connection = await open((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM))
  await expect(connection.unary(request, never)).rejects.toMatchObject({ status: { code: 14 } })
  expect(connection.usable).toBe(false)
})

test('the words of a status are decoded, and left as they are where that cannot be done', async () => {
  const say = (words: string) =>
    statusOf((stream) => answer(stream, Buffer.alloc(0), { 'grpc-status': '7', 'grpc-message': words }))
  expect((await say('no%20identity%3A issued')).details).toBe('no identity: issued')
  expect((await say('100 % of it')).details).toBe('100 % of it')
})

test('a stream hears nothing after it was cancelled, also by the first of two messages', async () => {
  const connection = await open((stream) =>
    answer(stream, Buffer.concat([frame(hello), frame(hello)]), { 'grpc-status': '0' }),
  )
  const heard: string[] = []
  await new Promise<void>((resolve) => {
    const stream = connection.stream(request, {
      onMessage: () => {
        heard.push('message')
        stream.cancel()
        resolve()
      },
      onEnd: () => heard.push('end'),
    })
  })
  // Everything that could still come of that stream comes before the answer to another call.
  await connection.unary(request, never).catch(() => undefined)
  expect(heard).toEqual(['message'])
})

test('a stream that was cancelled hears nothing either where the connection had just ended', async () => {
  const connection = await open(() => undefined)
  const closed = new Promise<void>((resolve) => (connection.onClose = resolve))
  connection.close()
  await closed
  await new Promise((resolve) => setImmediate(resolve))
  const heard: string[] = []
  const handlers = { onMessage: () => heard.push('message'), onEnd: () => heard.push('end') }
  connection.stream(request, handlers).cancel()
  // The end of a second one comes after that of the first.
  await new Promise<void>((resolve) => connection.stream(request, { ...handlers, onEnd: () => resolve() }))
  expect(heard).toEqual([])
})

test('a GOAWAY ends the calls that the agent has not seen; those before it go on', async () => {
  const streams: ServerHttp2Stream[] = []
  const connection = await open((stream, _headers, session) => {
    if (streams.push(stream) === 2) session.goaway(constants.NGHTTP2_NO_ERROR, streams[0]?.id)
  })
  const first = connection.unary(request, never)
  await expect(connection.unary(request, never)).rejects.toMatchObject({ status: { code: 14 } })
  expect(connection.usable).toBe(false)
  if (streams[0]) answer(streams[0], frame(hello), { 'grpc-status': '0' })
  expect(Buffer.from(await first)).toEqual(hello)
})

test('closing the connection ends its calls', async () => {
  const connection = await open((stream) => stream.respond(grpc))
  const call = connection.unary(request, never)
  connection.close()
  await expect(call).rejects.toMatchObject({ status: { code: 14 } })
  expect(connection.usable).toBe(false)
})

test('a connection that is retired lives as long as its last call', async () => {
  let held: ServerHttp2Stream | undefined
  const connection = await open((stream) => (held = stream))
  const closed = new Promise<void>((resolve) => (connection.onClose = resolve))
  const call = connection.unary(request, never)
  await expect.poll(() => held).toBeDefined()
  connection.retire()
  expect(connection.usable).toBe(false)
  if (held) answer(held, frame(hello), { 'grpc-status': '0' })
  expect(Buffer.from(await call)).toEqual(hello)
  await closed
})

describe('no connection is made to', () => {
  for (const [what, greeting] of [
    ['a server of something else', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a server that says nothing', ''],
  ] as const)
    test(what, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'wire-'))
      cleanups.push(() => rm(directory, { recursive: true, force: true }))
      const path = join(directory, 'other.sock')
      const server = createNetServer((socket) => {
        socket.on('error', () => undefined)
        cleanups.push(() => void socket.destroy())
        socket.write(greeting)
      })
      server.listen(path)
      await once(server, 'listening')
      cleanups.push(() => void server.close())
      const opening = Connection.open(parseEndpoint(`unix://${path}`), { ...options, connectTimeoutMs: 200 }, never)
      await expect(opening).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
    })
})
