// What proving peers costs: beside Node's own verification with the CAs in one list, and beside no authorization at all.
import { once } from 'node:events'
import { Agent, createServer as createPlainServer, request } from 'node:https'
import { connect, createServer } from 'node:tls'
import express from 'express'
import Fastify from 'fastify'
import { Server as GrpcServer } from '@grpc/grpc-js'
import { requireSpiffeId } from 'authsec-sdk/express'
import { requireSpiffeId as requireOnRoute, spiffePlugin, spiffeServerFactory } from 'authsec-sdk/fastify'
import { serveGrpc } from 'authsec-sdk/grpc'
import { createHttp2Server } from 'authsec-sdk/http2'
import { createHttpsServer } from 'authsec-sdk/https'
import { TestTrustDomain } from 'authsec-sdk/testing'
import { attachSpiffeToServer, createTlsOptionsForClient, createTlsOptionsForServer } from 'authsec-sdk/tls'
import { ask } from '../../soak/tls/ask.mjs'
import { clients } from '../../soak/tls/clients.mjs'
import { LiveSource } from '../../soak/tls/live-source.mjs'
import { interleave, interval, median, summarize } from '../statistics.mjs'

const [serverId, clientId] = ['spiffe://bench.test/server', 'spiffe://bench.test/client']
const td = new TestTrustDomain('bench.test')
const partner = new TestTrustDomain('partner.test')
const svidOf = (id) => td.svid({ names: { uris: [id] } })
const open = []

export async function run({ rounds }) {
  try {
    return {
      tables: [
        await handshakes(rounds),
        await keepAlive('https', rounds, httpsServers()),
        await keepAlive('Express', rounds, expressServers()),
        await keepAlive('Fastify', rounds, await fastifyServers()),
        await push(rounds),
        await adapters(rounds),
      ],
    }
  } finally {
    for (const close of open.reverse()) await close()
  }
}

/** Full mTLS handshakes per second, one after the other, client and server in this process. */
async function handshakes(rounds) {
  const many = Array.from({ length: 1000 }, (_, at) => new TestTrustDomain(`td${at}.test`).bundle())
  const two = [td.bundle(), partner.bundle()]
  const pooled = { ca: two.map((bundle) => bundle.toPem()) }
  const own = (svid) => ({ cert: svid.certificatesPem(), key: svid.privateKeyPem() })
  const native = createServer({
    ...{ ...pooled, ...own(svidOf(serverId)), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
    noDelay: true,
  })
  native.on('secureConnection', (socket) => socket.on('error', () => undefined).end('in'))
  const nativePort = await listen(native)
  const checkServerIdentity = () => undefined
  const nativeOptions = { ...pooled, ...own(svidOf(clientId)), checkServerIdentity, minVersion: 'TLSv1.3' }
  const { createSecureContext } = await import('node:tls')
  const secureContext = createSecureContext(nativeOptions)

  const ours = async (bundles) => {
    const source = new LiveSource({ svid: svidOf(serverId), bundles })
    const server = createServer({ noDelay: true, ...createTlsOptionsForServer(source) }, (socket) =>
      socket.on('error', () => undefined).end('in'),
    )
    attachSpiffeToServer(server, source, { authorize: clientId })
    const port = await listen(server)
    const caller = new LiveSource({ svid: svidOf(clientId), bundles })
    return rate(60, () => shake({ port, ...createTlsOptionsForClientOnce(caller) }))
  }
  const baseline = 'native, CAs in one list'
  const samples = await interleave(
    {
      [baseline]: rate(60, () => shake({ port: nativePort, secureContext, checkServerIdentity })),
      'proved by us': await ours(two),
      'proved by us, 1 000 federated trust domains': await ours([...two, ...many]),
    },
    rounds,
  )
  return { title: 'full mTLS handshakes', unit: '1/s', baseline, rows: summarize(samples, baseline) }
}

const optionsOf = new WeakMap()
function createTlsOptionsForClientOnce(source) {
  if (!optionsOf.has(source)) optionsOf.set(source, createTlsOptionsForClient(source, { authorize: serverId }))
  return optionsOf.get(source)
}

async function shake(options) {
  const socket = connect({ host: '127.0.0.1', ...options })
  // The server speaks once it has verified the client; waiting for anything later would measure delayed ACKs.
  await once(socket, 'data')
  socket.destroy()
}

/** Requests per second on eight connections that stay, with authorization and without. */
async function keepAlive(name, rounds, servers) {
  const candidates = {}
  for (const [kind, server] of Object.entries(servers)) {
    const port = await listen(server)
    const svid = svidOf(clientId)
    const own = { cert: svid.certificatesPem(), key: svid.privateKeyPem(), ca: td.bundle().toPem() }
    const agent = new Agent({ ...own, keepAlive: true, maxSockets: 8, checkServerIdentity: () => undefined })
    open.push(() => agent.destroy())
    const get = () =>
      new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port, agent }, (response) => {
          if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`))
          response.resume().on('end', resolve)
        })
          .on('error', reject)
          .end()
      })
    candidates[kind] = rate(600, get, 16)
  }
  const samples = await interleave(candidates, rounds)
  const baseline = 'no authorization'
  return { title: `keep-alive requests, ${name}`, unit: '1/s', baseline, rows: summarize(samples, baseline) }
}

/** A server that verifies natively and asks nobody anything. */
function plainServer(listener) {
  const svid = svidOf(serverId)
  const own = { cert: svid.certificatesPem(), key: svid.privateKeyPem(), ca: td.bundle().toPem() }
  return createPlainServer({ ...own, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' }, listener)
}

const newSource = () => new LiveSource({ svid: svidOf(serverId), bundles: [td.bundle(), partner.bundle()] })
const authorize = clientId

function httpsServers() {
  const listener = (_request, response) => response.end('in')
  return {
    'no authorization': plainServer(listener),
    authorized: createHttpsServer(newSource(), { authorize }, listener),
  }
}

function expressServers() {
  const answer = (_request, response) => response.end('in')
  const [bare, guarded] = [express(), express()]
  bare.get('/', answer)
  guarded.get('/', requireSpiffeId(clientId), answer)
  return {
    'no authorization': plainServer(bare),
    'authorized, by route too': createHttpsServer(newSource(), { authorize }, guarded),
  }
}

async function fastifyServers() {
  const bare = Fastify({ serverFactory: (handler) => plainServer(handler) })
  bare.get('/', async () => 'in')
  const guarded = Fastify({ serverFactory: spiffeServerFactory(newSource(), { authorize }) })
  await guarded.register(spiffePlugin)
  guarded.get('/', { onRequest: requireOnRoute(clientId) }, async () => 'in')
  await Promise.all([bare.ready(), guarded.ready()])
  return { 'no authorization': bare.server, 'authorized, by route too': guarded.server }
}

/** Milliseconds from a new identity in the source to the end of the first handshake that shows it. */
async function push(rounds) {
  const source = newSource()
  const server = createServer(createTlsOptionsForServer(source), (socket) => socket.end())
  attachSpiffeToServer(server, source, { authorize })
  const port = await listen(server)
  const caller = new LiveSource({ svid: svidOf(clientId), bundles: [td.bundle()] })
  const options = { host: '127.0.0.1', port, ...createTlsOptionsForClient(caller, { authorize: serverId }) }
  const baseline = 'handshake without a rotation'
  const connectOnce = async (before) => {
    const expected = before()
    const begin = process.hrtime.bigint()
    if (expected) source.use({ svid: expected })
    const socket = connect(options)
    await once(socket, 'secureConnect')
    const ms = Number(process.hrtime.bigint() - begin) / 1e6
    const shown = socket.getPeerCertificate().serialNumber.toLowerCase()
    if (expected && shown !== expected.serialNumber) throw new Error('the handshake showed an old identity')
    socket.resume().end()
    await once(socket, 'close')
    return ms
  }
  const name = 'push to the end of a handshake with the new SVID'
  const samples = await interleave(
    { [baseline]: () => connectOnce(() => undefined), [name]: () => connectOnce(() => svidOf(serverId)) },
    rounds,
  )
  const [low, high] = interval(samples[name])
  const note = `${name}: ${median(samples[name]).toFixed(2)} ms, ${low.toFixed(2)} – ${high.toFixed(2)} (goal: at most 10)`
  return { title: 'push', unit: 'ms', baseline, rows: summarize(samples, baseline), notes: [note] }
}

/** Microseconds for a request by each kind of client on a connection that stays; plain TLS makes a new one each time. */
async function adapters(rounds) {
  const source = newSource()
  const listener = (_request, response) => response.end('in')
  const grpc = new GrpcServer()
  grpc.addService({ ask }, { ask: (_call, done) => done(null, 'in') })
  open.push(() => grpc.forceShutdown())
  const plain = createServer(createTlsOptionsForServer(source), (socket) => {
    socket.on('error', () => undefined).once('data', () => socket.end('in'))
  })
  attachSpiffeToServer(plain, source, { authorize })
  const ports = {
    https: await listen(createHttpsServer(source, { authorize }, listener)),
    http2: await listen(createHttp2Server(source, { authorize }, listener)),
    grpc: await listen(serveGrpc(grpc, source, { authorize })),
    tls: await listen(plain),
  }
  const caller = new LiveSource({ svid: svidOf(clientId), bundles: [td.bundle()] })
  const candidates = {}
  for (const [kind, newClient] of Object.entries(clients)) {
    const { call, close } = newClient(caller, serverId, ports[kind] ?? ports.https, 'caller')
    open.push(close)
    const perSecond = rate(kind === 'tls' ? 30 : 200, call)
    candidates[kind] = async () => 1e6 / (await perSecond())
  }
  const baseline = 'https'
  const samples = await interleave(candidates, rounds)
  return { title: 'one request, one after the other', unit: 'µs', baseline, rows: summarize(samples, baseline) }
}

function rate(count, work, workers = 1) {
  return async () => {
    const begin = process.hrtime.bigint()
    let left = count
    const one = async () => {
      while (left-- > 0) await work()
    }
    await Promise.all(Array.from({ length: workers }, one))
    return count / (Number(process.hrtime.bigint() - begin) / 1e9)
  }
}

async function listen(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(() => {
    server.close()
    server.closeAllConnections?.()
  })
  return server.address().port
}
