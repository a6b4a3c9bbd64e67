import { EventEmitter, once } from 'node:events'
import * as http from 'node:http'
import * as https from 'node:https'
import type { Duplex } from 'node:stream'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { attachSpiffe, createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { callerOfRequest, type HttpsServerOptions } from '../../src/adapters/http/index.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { createTlsOptionsForServer, peerId } from '../../src/tls/index.js'
import { codeOf, gullible, listen, request, talk } from '../tls/network.js'
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

async function sourceOf(id: string): Promise<TestSource> {
  return new TestSource(await a.svid(id), a.bundle('a.test'), b.bundle('b.test'))
}

async function start(listener?: http.RequestListener, options: Partial<HttpsServerOptions> = {}) {
  const source = await sourceOf(serverId)
  const handled: string[] = []
  const server = createHttpsServer(
    source,
    { authorize: clientId, ...options } as HttpsServerOptions,
    listener ??
      ((req, res) => {
        handled.push(req.url ?? '')
        res.end(callerOfRequest(req)?.id.toString() ?? 'nobody')
      }),
  )
  return { server, source, handled, port: await listen(server) }
}

async function newAgent(options: Partial<ConstructorParameters<typeof SpiffeHttpsAgent>[1]> = {}, id = clientId) {
  const source = await sourceOf(id)
  const agent = new SpiffeHttpsAgent(source, { authorize: serverId, ...options } as { authorize: string })
  onTestFinished(() => agent.destroy())
  return { agent, source }
}

const forbiddenProblem = {
  type: 'about:blank',
  title: 'Forbidden',
  status: 403,
  detail: expect.stringContaining('spiffe://a.test/stranger') as unknown,
  code: 'ERR_PEER_NOT_AUTHORIZED',
}

describe('an HTTPS server', () => {
  test('hands over requests of callers that it authorizes', async () => {
    const { port } = await start()
    const { agent } = await newAgent()
    expect(await request({ port, agent })).toMatchObject({ status: 200, body: clientId })
  })

  test('answers a stranger 403 with a problem body, and no handler hears of it', async () => {
    const { port, handled } = await start()
    const { agent } = await newAgent({}, 'spiffe://a.test/stranger')
    const { status, headers, body } = await request({ port, agent })
    expect(status).toBe(403)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(JSON.parse(body)).toEqual(forbiddenProblem)
    expect(handled).toEqual([])
  })

  test('lets a stranger that sends a body read its answer', async () => {
    const { port, handled } = await start()
    const { agent } = await newAgent({}, 'spiffe://a.test/stranger')
    const answer = await request({ port, agent, method: 'POST', body: 'x'.repeat(1_000_000) })
    expect(answer.status).toBe(403)
    expect(handled).toEqual([])
  })

  test('answers 403 on every way into an HTTP server, also for listeners that come later', async () => {
    const { server, port } = await start()
    const reached: string[] = []
    for (const event of ['request', 'checkContinue', 'checkExpectation', 'upgrade', 'connect']) {
      server.prependListener(event, () => reached.push(event))
    }
    const stranger = await a.leaf({ uris: ['spiffe://a.test/stranger'] })
    for (const text of [
      'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
      'POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: a\r\nexpect: something\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n',
    ]) {
      const { heard } = await talk({ ...gullible(stranger), port }, text)
      expect(heard).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
      expect(JSON.parse(heard.slice(heard.indexOf('\r\n\r\n') + 4))).toEqual(forbiddenProblem)
    }
    expect(reached).toEqual([])
  })

  test('shows nothing of a stranger to those who are told of what went wrong, or decide about upgrades', async () => {
    const reached: string[] = []
    const shouldUpgradeCallback = () => reached.push('shouldUpgradeCallback') > 0
    const { server, port } = await start(undefined, { shouldUpgradeCallback } as object)
    server.maxRequestsPerSocket = 1
    for (const event of ['dropRequest', 'clientError', 'upgrade'])
      server.on(event, (...args: unknown[]) => {
        reached.push(event)
        for (const arg of args) if (arg instanceof tls.TLSSocket) arg.destroy()
      })
    const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
    const upgrade = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
    const says = async (id: string, text: string) =>
      (await talk({ ...gullible(await a.leaf({ uris: [id] })), port }, text)).heard
    for (const text of [get + get, upgrade])
      expect(await says('spiffe://a.test/stranger', text)).toMatch(/^HTTP\/1\.1 403 /)
    expect(await says('spiffe://a.test/stranger', 'secret\r\n\r\n')).toBe('')
    expect(reached).toEqual([])
    for (const text of [get + get, upgrade, 'secret\r\n\r\n']) await says(clientId, text)
    // Node.js 20 knows no such option.
    const asked = 'shouldUpgradeCallback' in server ? ['shouldUpgradeCallback'] : []
    expect(reached).toEqual(['dropRequest', ...asked, 'upgrade', 'clientError'])
  })

  test('tells of handshakes that failed, as Node does', async () => {
    const { server, port } = await start()
    const told = once(server, 'clientError') as Promise<[Error, tls.TLSSocket]>
    await talk({ ...gullible(), port, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })
    const [error, socket] = await told
    expect(codeOf(error)).toBe('ERR_SSL_UNSUPPORTED_PROTOCOL')
    socket.destroy()
  })

  test('hands upgrades of an authorized caller over', async () => {
    const { server, port } = await start()
    server.on('upgrade', (_req, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'))
    const text = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
    const { heard } = await talk({ ...gullible(await a.leaf({ uris: [clientId] })), port }, text)
    expect(heard).toMatch(/^HTTP\/1\.1 101 /)
  })

  test('attachSpiffe does the same for a server made elsewhere', async () => {
    const source = await sourceOf(serverId)
    const server = https.createServer(createTlsOptionsForServer(source), (_req, res) => res.end('in'))
    attachSpiffe(server, source, { authorize: clientId })
    const port = await listen(server)
    const good = await newAgent()
    const stranger = await newAgent({}, 'spiffe://a.test/stranger')
    expect((await request({ port, agent: good.agent })).status).toBe(200)
    expect((await request({ port, agent: stranger.agent })).status).toBe(403)
  })

  test('sends old connections away, idle or not, and lets requests in progress finish', async () => {
    const { server, port } = await start(
      (req, res) => {
        // The head of /slow is held back until the connection was told to go.
        const answer = () =>
          req.url !== '/slow' || res.hasHeader('connection') ? res.end('done') : setImmediate(answer)
        answer()
      },
      { maxConnectionAgeMs: 40 },
    )
    const { agent } = await newAgent()
    const connected = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>
    expect((await request({ port, agent })).headers['connection']).toBe('keep-alive')
    const [idle] = await connected
    if (!idle.closed) await once(idle, 'close')
    const last = await request({ port, agent, path: '/slow' })
    expect([last.body, last.headers['connection']]).toEqual(['done', 'close'])
  })

  for (const [event, expectation] of [
    ['checkContinue', '100-continue'],
    ['checkExpectation', 'something'],
  ] as const)
    test(`lets a request in progress finish that came to ${event}`, async () => {
      const { server, port } = await start(undefined, { maxConnectionAgeMs: 40 })
      server.on(event, (req: http.IncomingMessage, res: http.ServerResponse) => {
        req.resume()
        const answer = () => (res.hasHeader('connection') || res.destroyed ? res.end('done') : setImmediate(answer))
        answer()
      })
      const { agent } = await newAgent()
      const sent = request({ port, agent, method: 'POST', headers: { expect: expectation, 'content-length': 0 } })
      expect(await sent).toMatchObject({ status: 200, headers: { connection: 'close' }, body: 'done' })
    })

  test('ends an upgraded connection at that age, though its peer would keep it', async () => {
    const { server, port } = await start(undefined, { maxConnectionAgeMs: 40 })
    const taken = once(server, 'upgrade') as Promise<[unknown, Duplex]>
    const client = tls.connect({ ...gullible(await a.leaf({ uris: [clientId] })), port, ...{ allowHalfOpen: true } })
    onTestFinished(() => void client.destroy())
    client.on('error', () => undefined).resume()
    client.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    const [, socket] = await taken
    await once(socket.on('error', () => undefined).resume(), 'close')
  })

  test('lets connections live whose age is to be longer than a timer can run', async () => {
    const { server, port } = await start((_req, res) => res.end('done'), { maxConnectionAgeMs: 30 * 24 * 3_600_000 })
    const { agent } = await newAgent()
    const connected = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>
    await request({ port, agent })
    const [socket] = await connected
    // A timer that is asked for more runs out after a millisecond.
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect((await request({ port, agent })).headers['connection']).toBe('keep-alive')
    expect(socket.destroyed).toBe(false)
  })

  for (const maxConnectionAgeMs of [0, -1, NaN, '60000', null] as never[])
    test(`refuses the age ${String(maxConnectionAgeMs)}, and has attached nothing then`, async () => {
      const source = await sourceOf(serverId)
      const server = https.createServer(createTlsOptionsForServer(source), (_req, res) => res.end('in'))
      const port = await listen(server)
      expect(() => attachSpiffe(server, source, { authorize: clientId, maxConnectionAgeMs })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
      expect(source.listeners).toBe(0)
      const { agent } = await newAgent()
      await expect(request({ port, agent })).rejects.toThrow()
      // Once more, and right: it was not attached the first time.
      attachSpiffe(server, source, { authorize: clientId })
      expect((await request({ port, agent })).status).toBe(200)
    })

  test('needs an authorizer', () =>
    expect(start(undefined, { authorize: undefined })).rejects.toMatchObject({
      code: 'ERR_AUTHORIZER_REQUIRED',
    }))

  test('cannot be given another identity by its options', async () => {
    const other = await b.leaf({ uris: ['spiffe://b.test/other'] })
    const extra = { ca: other.cert, rejectUnauthorized: false, requestCert: false, maxVersion: 'TLSv1.2' }
    const { port } = await start(undefined, { ...other, ...extra } as never)
    const { agent } = await newAgent()
    expect((await request({ port, agent })).status).toBe(200)
    expect((await talk({ ...gullible(), port }, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).heard).toBe('')
  })
})

describe('SpiffeHttpsAgent', () => {
  test('knows whom each socket talks to', async () => {
    const { port } = await start()
    const { agent } = await newAgent()
    const sent = https.get({ host: '127.0.0.1', port, agent })
    const [response] = (await once(sent, 'response')) as [http.IncomingMessage]
    expect(peerId(response.socket).toString()).toBe(serverId)
    response.resume()
  })

  test('refuses a server that it does not authorize, with our code', async () => {
    const { port, handled } = await start()
    const { agent } = await newAgent({ authorize: 'spiffe://a.test/other' })
    await expect(request({ port, agent })).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
    expect(handled).toEqual([])
  })

  test('keeps connections alive, and closes idle ones at rotation', async () => {
    const { port, server } = await start((req, res) => res.end(req.socket.remotePort?.toString()))
    const { agent, source } = await newAgent()
    const first = await request({ port, agent })
    expect((await request({ port, agent })).body).toBe(first.body)
    source.use(await a.svid(clientId))
    await new Promise<void>((resolve) => {
      const look = () => server.getConnections((_, n) => (n === 0 ? resolve() : setImmediate(look)))
      look()
    })
    expect((await request({ port, agent })).body).not.toBe(first.body)
  })

  test('uses the new SVID even when nobody tells it', async () => {
    const { port } = await start((req, res) => res.end(callerOfRequest(req)?.certificate.serialNumber))
    const { agent, source } = await newAgent()
    await request({ port, agent })
    source.useQuietly(await a.svid(clientId))
    expect((await request({ port, agent })).body).toBe(source.getX509Svid().serialNumber)
  })

  test('lets requests in flight finish, and gives queued ones the new SVID', async () => {
    const arrived = new EventEmitter()
    const { port } = await start((req, res) => {
      const answer = () => res.end(callerOfRequest(req)?.certificate.serialNumber)
      if (req.url === '/slow') arrived.emit('slow', answer)
      else answer()
    })
    const { agent, source } = await newAgent({ maxSockets: 1 })
    const old = source.getX509Svid().serialNumber
    const slowArrived = once(arrived, 'slow') as Promise<[() => void]>
    const slow = request({ port, agent, path: '/slow' })
    const queued = request({ port, agent, path: '/queued' })
    const [answer] = await slowArrived
    source.use(await a.svid(clientId))
    answer()
    expect((await slow).body).toBe(old)
    expect((await queued).body).toBe(source.getX509Svid().serialNumber)
  })

  test('fails the request, not the call, when there is no valid SVID', async () => {
    const { port } = await start()
    const { agent, source } = await newAgent()
    const valid = source.getX509Svid()
    source.use(new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'expired'))
    await expect(request({ port, agent })).rejects.toMatchObject({ code: 'ERR_X509_SVID_EXPIRED' })
    source.use(valid)
    expect((await request({ port, agent })).status).toBe(200)
  })

  test('ends connections to a server whose trust was withdrawn, in flight or not', async () => {
    let arrived: () => void = () => undefined
    const arrival = new Promise<void>((resolve) => (arrived = resolve))
    const { port } = await start(() => arrived())
    const { agent, source } = await newAgent()
    const pending = request({ port, agent }).catch(codeOf)
    await arrival
    source.use(source.getX509Svid(), b.bundle('b.test'))
    expect(await pending).toBe('ERR_BUNDLE_NOT_FOUND')
  })

  for (const [how, headers, method] of [
    ['an upgrade', { connection: 'upgrade', upgrade: 'websocket' }, 'GET'],
    ['a CONNECT', {}, 'CONNECT'],
  ] as const)
    for (const destroyed of [false, true])
      test(`ends the connection of ${how} as well${destroyed ? ', also after destroy()' : ''}`, async () => {
        const { port, server } = await start()
        const takeOver = (_req: unknown, socket: Duplex) => {
          const head = ['HTTP/1.1 101 Switching Protocols', 'connection: upgrade', 'upgrade: websocket']
          socket.on('error', () => undefined).write(`${head.join('\r\n')}\r\n\r\n`)
        }
        server.on('upgrade', takeOver).on('connect', takeOver)
        const { agent, source } = await newAgent()
        const sent = https.request({ host: '127.0.0.1', port, agent, headers, method }).end()
        const taken = method === 'CONNECT' ? once(sent, 'connect') : once(sent, 'upgrade')
        const [, socket] = (await taken) as [unknown, Duplex]
        if (destroyed) agent.destroy()
        expect([socket.destroyed, source.listeners]).toEqual([false, 1])
        source.use(source.getX509Svid(), b.bundle('b.test'))
        expect(codeOf(socket.errored)).toBe('ERR_BUNDLE_NOT_FOUND')
        agent.destroy()
        expect(source.listeners).toBe(0)
      })

  for (const [how, send] of [
    ['http.get', (agent: http.Agent) => http.get('http://127.0.0.1:1/', { agent })],
    ['http.request with options', (agent: http.Agent) => http.request({ host: '127.0.0.1', port: 1, agent }).end()],
  ] as const)
    test(`refuses plaintext by ${how}`, async () => {
      const { agent } = await newAgent()
      const [error] = (await once(send(agent), 'error').catch((cause: unknown) => [cause])) as [Error]
      expect(codeOf(error)).toBe('ERR_PLAINTEXT_REFUSED')
    })

  test('options of a single request weaken nothing', async () => {
    const { port, handled } = await start()
    const { agent } = await newAgent({ authorize: 'spiffe://a.test/other' })
    const naive = { rejectUnauthorized: false, checkServerIdentity: () => undefined }
    const other = await b.leaf({ uris: ['spiffe://b.test/other'] })
    const secureContext = tls.createSecureContext({ ca: a.certificate.toPem() })
    for (const weaken of [
      naive,
      { ...naive, ca: a.certificate.toPem() },
      { ...naive, secureContext },
      { ...naive, ...other },
    ])
      await expect(request({ port, agent, ...weaken })).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
    expect(handled).toEqual([])
  })

  test('a session that a request brings along is not resumed', async () => {
    const source = await sourceOf(serverId)
    const { cert, key } = await a.leaf({ uris: [serverId] })
    const server = https.createServer({ cert, key }, (_req, res) => res.end('in'))
    const port = await listen(server)
    const first = tls.connect({ ...gullible(), port, minVersion: 'TLSv1.3' })
    first.on('error', () => undefined)
    first.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    const [session] = (await once(first, 'session')) as [Buffer]
    first.destroy()
    const agent = new SpiffeHttpsAgent(source, { authorize: serverId })
    onTestFinished(() => agent.destroy())
    const reused = new Promise((resolve) =>
      server.once('secureConnection', (socket) => resolve(socket.isSessionReused())),
    )
    expect((await request({ port, agent, session })).status).toBe(200)
    expect(await reused).toBe(false)
  })

  test('destroy lets go of the source', async () => {
    const { agent, source } = await newAgent()
    expect(source.listeners).toBe(1)
    agent.destroy()
    expect(source.listeners).toBe(0)
  })

  test('calls an ordinary web server, which sees our SVID', async () => {
    const web = await TestCa.create()
    const { cert, key } = await web.leaf({ uris: [], dnsNames: ['localhost'] })
    const options = { cert, key, requestCert: true, rejectUnauthorized: false }
    const server = https.createServer(options, (req, res) => {
      const { socket } = req
      res.end(socket instanceof tls.TLSSocket ? socket.getPeerCertificate().subjectaltname : '')
    })
    const port = await listen(server)
    const { agent } = await newAgent({ authorize: undefined, webServer: { ca: [web.certificate.toPem()] } })
    expect((await request({ host: '127.0.0.1', servername: 'localhost', port, agent })).body).toContain(clientId)
    await expect(request({ host: '127.0.0.1', servername: 'other.test', port, agent })).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
  })
})

test('rotation on both sides under load fails nothing', async () => {
  const { port, source: serverSource } = await start()
  const { agent, source: clientSource } = await newAgent({ maxSockets: 4 })
  const svids = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => (i % 2 === 0 ? a.svid(serverId) : a.svid(clientId))),
  )
  let running = true
  const failures: unknown[] = []
  let served = 0
  const workers = Array.from({ length: 6 }, async () => {
    while (running) {
      const { status } = await request({ port, agent }).catch((error: unknown) => {
        failures.push(error)
        return { status: 0 }
      })
      if (status === 200) served++
    }
  })
  for (const [i, svid] of svids.entries()) {
    const before = served
    ;(i % 2 === 0 ? serverSource : clientSource).use(svid)
    // Each rotation is followed by traffic.
    while (served < before + 20 && failures.length === 0) await new Promise(setImmediate)
  }
  running = false
  await Promise.all(workers)
  expect(failures).toEqual([])
  expect(served).toBeGreaterThanOrEqual(240)
})
