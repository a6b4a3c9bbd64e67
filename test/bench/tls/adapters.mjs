// What each adapter costs: one request after the other by each kind of client on a connection that stays (plain TLS makes
// a new one each time), against the same client and server with Node's own verification.
import { Agent, createServer as createHttps, request } from 'node:https'
import { connect as connectHttp2, createSecureServer } from 'node:http2'
import { text } from 'node:stream/consumers'
import { connect, createServer } from 'node:tls'
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js'
import { serveGrpc } from 'authsec-sdk/grpc'
import { createHttp2Server } from 'authsec-sdk/http2'
import { createHttpsServer } from 'authsec-sdk/https'
import { attachSpiffeToServer, createTlsOptionsForServer } from 'authsec-sdk/tls'
import { Agent as UndiciAgent, request as undiciRequest } from 'undici'
import { ask } from '../../soak/tls/ask.mjs'
import { clients } from '../../soak/tls/clients.mjs'
import { interleave, summarize } from '../statistics.mjs'
import {
  anyName,
  clientId,
  closeLater,
  listen,
  nativeIdentity,
  nativeProof,
  rate,
  serverId,
  sourceOf,
} from './world.mjs'

const answer = (_request, response) => response.end('in')
const onSocket = (socket) => socket.on('error', () => undefined).once('data', () => socket.end('in'))

export async function measureAdapters({ rounds }) {
  const [plain, proving] = [await plainCalls(), await provingCalls()]
  const rows = {}
  for (const [kind, call] of Object.entries(proving)) {
    const count = kind === 'tls' ? 50 : 300
    const microseconds = (one) => async () => 1e6 / (await rate(count, one)())
    const candidates = { plain: microseconds(plain[kind]), proving: microseconds(call) }
    rows[kind] = summarize(await interleave(candidates, rounds), 'plain').proving
  }
  return { title: 'one request by each adapter', unit: 'µs', baseline: 'the same without us', rows }
}

/** One call by each kind of client of ours, to the servers of ours. */
async function provingCalls() {
  const source = sourceOf(serverId)
  const authorize = clientId
  const grpc = grpcServer()
  const plain = createServer(createTlsOptionsForServer(source), onSocket)
  attachSpiffeToServer(plain, source, { authorize })
  const https = await listen(createHttpsServer(source, { authorize }, answer))
  const ports = {
    https,
    undici: https,
    http2: await listen(createHttp2Server(source, { authorize }, answer)),
    grpc: await listen(serveGrpc(grpc, source, { authorize })),
    tls: await listen(plain),
  }
  const caller = sourceOf(clientId)
  return Object.fromEntries(
    Object.entries(ports).map(([kind, port]) => {
      const { call, close } = clients[kind](caller, serverId, port, 'caller')
      closeLater(close)
      return [kind, call]
    }),
  )
}

/** The same kinds of clients and servers as Node and their makers offer them. */
async function plainCalls() {
  const [own, server] = [nativeIdentity(clientId), { ...nativeIdentity(serverId), ...nativeProof }]
  const headers = { 'x-who': 'caller' }
  const https = await listen(createHttps(server, answer))
  const http2 = await listen(createSecureServer(server, answer))
  const tls = await listen(createServer(server, onSocket))
  const grpc = grpcServer()
  const certificates = [{ cert_chain: Buffer.from(server.cert), private_key: Buffer.from(server.key) }]
  const roots = Buffer.from(server.ca.join(''))
  const grpcPort = await new Promise((resolve, reject) => {
    const bound = (error, port) => (error ? reject(error) : resolve(port))
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(roots, certificates, true), bound)
  })

  const agent = new Agent({ ...own, ...anyName, keepAlive: true })
  const dispatcher = new UndiciAgent({ connect: { ...own, ...anyName } })
  const session = connectHttp2(`https://127.0.0.1:${http2}`, { ...own, ...anyName })
  const chain = [roots, Buffer.from(own.key), Buffer.from(own.cert)]
  // Newer Node.js takes no address for a server name.
  const named = { 'grpc.ssl_target_name_override': 'bench.test' }
  const client = new Client(`127.0.0.1:${grpcPort}`, credentials.createSsl(...chain, anyName), named)
  closeLater(() => [agent, dispatcher, session].forEach((one) => one.destroy()))
  closeLater(() => client.close())
  return {
    https: () =>
      new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port: https, agent, headers }, (response) => {
          text(response).then(resolve, reject)
        })
          .on('error', reject)
          .end()
      }),
    undici: async () => (await undiciRequest(`https://127.0.0.1:${https}`, { dispatcher, headers })).body.text(),
    http2: () => text(session.request(headers)),
    grpc: () =>
      new Promise((resolve, reject) => {
        const done = (error, heard) => (error ? reject(error) : resolve(heard))
        const { path, requestSerialize, responseDeserialize } = ask
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, 'caller', done)
      }),
    tls: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: tls, ...own, ...anyName }, () => socket.write('caller'))
        socket.on('error', reject).on('close', resolve).resume()
      }),
  }
}

function grpcServer() {
  const server = new Server()
  server.addService({ ask }, { ask: (_call, done) => done(null, 'in') })
  closeLater(() => server.forceShutdown())
  return server
}
