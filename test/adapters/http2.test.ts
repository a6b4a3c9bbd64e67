import { EventEmitter, once } from 'node:events'
import * as http2 from 'node:http2'
import type { ClientHttp2Stream, IncomingHttpHeaders, Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { callerOfRequest } from '../../src/adapters/http/index.js'
import {
  attachSpiffe,
  connectHttp2,
  createHttp2Server,
  SpiffeHttp2Client,
  type Http2ClientOptions,
  type Http2ServerOptions,
} from '../../src/adapters/http2/index.js'
import { SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { authorizeMemberOf, callerOf, createTlsOptionsForServer, peerId } from '../../src/tls/index.js'
import { codeOf, gullible, listen, request } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa
let b: TestCa
const serverId = 'spiffe://a.test/server'
const clientId = 'spiffe://a.test/client'

beforeAll(async () => {
  a = await TestCa.create()
  b = await TestCa.create()
})

async function sourceOf(id: string) {
  return new TestSource(await a.svid(id), a.bundle('a.test'), b.bundle('b.test'))
}

type Handler = (request: Http2ServerRequest, response: Http2ServerResponse) => void

async function start(handler?: Handler, options: Partial<Http2ServerOptions> = {}) {
  const source = await sourceOf(serverId)
  const handled: string[] = []
  const server = createHttp2Server(source, { authorize: clientId, ...options } as Http2ServerOptions, (req, res) => {
    handled.push(req.url)
    if (handler) handler(req, res)
    else res.end(callerOfRequest(req)?.certificate.serialNumber ?? '')
  })
  return { server, source, handled, port: await listen(server) }
}

async function newClient(port: number, options: Partial<Http2ClientOptions> = {}, id = clientId) {
  const source = await sourceOf(id)
  const expected = { authorize: serverId, ...options } as Http2ClientOptions
  const client = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, expected)
  onTestFinished(() => client.destroy())
  return { client, source }
}

async function read(stream: ClientHttp2Stream): Promise<{ status: number; type: unknown; body: string }> {
  const answered = once(stream, 'response') as Promise<[IncomingHttpHeaders & { ':status'?: number }]>
  const [headers] = await answered
  let body = ''
  for await (const chunk of stream) body += String(chunk)
  return { status: headers[':status'] ?? 0, type: headers['content-type'], body }
}

describe('an HTTP/2 server', () => {
  test('hands over requests of callers that it authorizes', async () => {
    const { port } = await start()
    const { client, source } = await newClient(port)
    expect(await read(client.request())).toMatchObject({ status: 200, body: source.getX509Svid().serialNumber })
  })

  test('answers a stranger 403, and no handler hears of it, however it listens', async () => {
    const { server, port, handled } = await start()
    const reached: string[] = []
    server.prependListener('stream', () => reached.push('stream'))
    server.on('session', (session) => session.on('stream', () => reached.push('stream of a session')))
    server.on('checkContinue', () => reached.push('checkContinue'))
    const { client } = await newClient(port, {}, 'spiffe://a.test/stranger')
    const { status, type, body } = await read(client.request({ ':method': 'POST', expect: '100-continue' }).end('x'))
    expect([status, type]).toEqual([403, 'application/problem+json'])
    expect(JSON.parse(body)).toMatchObject({ status: 403, code: 'ERR_PEER_NOT_AUTHORIZED' })
    expect([handled, reached]).toEqual([[], []])
  })

  test('shows a stranger that speaks no HTTP/2 to nobody', async () => {
    const { server, port } = await start()
    const reached: string[] = []
    server.on('unknownProtocol', (socket: tls.TLSSocket) => {
      reached.push(callerOf(socket)?.id.toString() ?? 'nobody')
      socket.destroy()
    })
    for (const id of ['spiffe://a.test/stranger', clientId]) {
      // It offers no protocol, so the handshake does not fail for lack of a common one.
      const socket = tls.connect({ ...gullible(await a.leaf({ uris: [id] })), port })
      socket.on('error', () => undefined)
      socket.resume()
      await once(socket, 'close')
    }
    expect(reached).toEqual([clientId])
  })

  test('serves HTTP/1 clients on the same terms when it is told to', async () => {
    const { port, handled } = await start(undefined, { allowHTTP1: true })
    const good = new SpiffeHttpsAgent(await sourceOf(clientId), { authorize: serverId })
    const stranger = new SpiffeHttpsAgent(await sourceOf('spiffe://a.test/stranger'), { authorize: serverId })
    onTestFinished(() => [good, stranger].forEach((agent) => agent.destroy()))
    expect((await request({ port, agent: good })).status).toBe(200)
    expect((await request({ port, agent: stranger })).status).toBe(403)
    expect(handled).toEqual(['/'])
  })

  test('knows its caller on the session too, and for as long as the session lives', async () => {
    const { server, port } = await start()
    const { client } = await newClient(port)
    const opened = once(server, 'session') as Promise<[http2.ServerHttp2Session]>
    const answer = read(client.request())
    const [session] = await opened
    expect(callerOf(session.socket)?.id.toString()).toBe(clientId)
    await answer
    const { socket } = session
    const closed = once(session, 'close')
    session.destroy()
    await closed
    expect(callerOf(socket)).toBeUndefined()
  })

  test('attachSpiffe does the same for a server made elsewhere', async () => {
    const source = await sourceOf(serverId)
    const server = http2.createSecureServer(createTlsOptionsForServer(source))
    attachSpiffe(server, source, { authorize: clientId })
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 })
      stream.end('in')
    })
    const port = await listen(server)
    const good = await newClient(port)
    const stranger = await newClient(port, {}, 'spiffe://a.test/stranger')
    expect((await read(good.client.request())).body).toBe('in')
    expect((await read(stranger.client.request())).status).toBe(403)
  })

  test('sends old connections away, and lets requests in progress finish', async () => {
    const { server, port } = await start(
      (req, res) => {
        const { session } = req.stream
        // The answer comes after the session was told to go.
        const wait = () => (session?.closed ? res.end('done') : setImmediate(wait))
        wait()
      },
      { maxConnectionAgeMs: 30 },
    )
    const { client } = await newClient(port)
    const away = (once(server, 'session') as Promise<[http2.ServerHttp2Session]>).then(([session]) =>
      once(session, 'close'),
    )
    expect((await read(client.request())).body).toBe('done')
    await away
    expect((await read(client.request())).body).toBe('done')
  })
})

describe('connectHttp2', () => {
  test('knows whom it talks to', async () => {
    const { port } = await start()
    const session = connectHttp2(await sourceOf(clientId), `https://127.0.0.1:${port}`, { authorize: serverId })
    onTestFinished(() => session.destroy())
    await once(session, 'connect')
    expect(peerId(session.socket).toString()).toBe(serverId)
  })

  test('refuses plaintext', async () => {
    const source = await sourceOf(clientId)
    expect(() => connectHttp2(source, 'http://127.0.0.1:1', { authorize: serverId })).toThrow(
      expect.objectContaining({ code: 'ERR_PLAINTEXT_REFUSED' }),
    )
  })

  test('cannot be given a connection of another kind by its options', async () => {
    const { port } = await start()
    const plain = http2.connect(`https://127.0.0.1:${port}`, gullible())
    onTestFinished(() => plain.destroy())
    plain.on('error', () => undefined)
    const sessionOptions = { createConnection: () => plain.socket, rejectUnauthorized: false } as never
    const expected = { authorize: 'spiffe://a.test/other', sessionOptions }
    const session = connectHttp2(await sourceOf(clientId), `https://127.0.0.1:${port}`, expected)
    await expect(once(session, 'connect')).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
  })
})

describe('SpiffeHttp2Client', () => {
  test('refuses a server that it does not authorize, with our code', async () => {
    const { port, handled } = await start()
    const { client } = await newClient(port, { authorize: 'spiffe://a.test/other' })
    // Node wraps what ended the session.
    await expect(read(client.request())).rejects.toMatchObject({ cause: { code: 'ERR_PEER_NOT_AUTHORIZED' } })
    expect(handled).toEqual([])
  })

  for (const how of ['use', 'useQuietly'] as const)
    test(`opens a new session at rotation (${how}), and requests in progress finish on the old`, async () => {
      const arrived = new EventEmitter()
      const { server, port } = await start((req, res) => {
        arrived.emit('request', () => void res.end(callerOfRequest(req)?.certificate.serialNumber ?? ''))
      })
      const sessions: http2.ServerHttp2Session[] = []
      server.on('session', (session) => sessions.push(session))
      const { client, source } = await newClient(port)
      const old = source.getX509Svid().serialNumber
      const arrival = once(arrived, 'request') as Promise<[() => void]>
      const pending = read(client.request())
      const [answer] = await arrival
      source[how](await a.svid(clientId))
      const nextArrival = once(arrived, 'request') as Promise<[() => void]>
      const next = read(client.request())
      const [answerNext] = await nextArrival
      answer()
      answerNext()
      expect((await pending).body).toBe(old)
      expect((await next).body).toBe(source.getX509Svid().serialNumber)
      const [first] = sessions
      if (first && !first.closed) await once(first, 'close')
      expect(sessions).toHaveLength(2)
    })

  test.each(['use', 'useQuietly'] as const)(
    'a rotation before the connection stands fails no request that waits for it (%s)',
    async (how) => {
      const { port } = await start()
      const { client, source } = await newClient(port)
      const waiting = [read(client.request()), read(client.request())]
      source[how](await a.svid(clientId))
      waiting.push(read(client.request()))
      const closed = client.close()
      expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200])
      await closed
    },
  )

  test('ends requests to a server whose trust was withdrawn', async () => {
    const arrived = new EventEmitter()
    const { port } = await start(() => arrived.emit('request'))
    const { client, source } = await newClient(port)
    const arrival = once(arrived, 'request')
    const pending = read(client.request()).catch(codeOf)
    await arrival
    source.use(source.getX509Svid(), b.bundle('b.test'))
    expect(await pending).toBe('ERR_BUNDLE_NOT_FOUND')
  })

  test('throws the reason when there is no valid SVID', async () => {
    const { port } = await start()
    const { client, source } = await newClient(port, { authorize: authorizeMemberOf('a.test') })
    source.use(new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'expired'))
    expect(() => client.request()).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }))
  })

  test('close waits for requests, refuses new ones and lets go of the source', async () => {
    const arrived = new EventEmitter()
    const { port } = await start((_req, res) => arrived.emit('request', () => void res.end('done')))
    const { client, source } = await newClient(port)
    const arrival = once(arrived, 'request') as Promise<[() => void]>
    const pending = read(client.request())
    const [answer] = await arrival
    const closed = client.close()
    expect(source.listeners).toBe(1)
    expect(() => client.request()).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }))
    answer()
    expect((await pending).body).toBe('done')
    await closed
    expect(source.listeners).toBe(0)
  })
})
