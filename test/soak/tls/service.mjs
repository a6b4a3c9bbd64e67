// The servers under observation, in a process of their own, and beside them two that only pretend to be them.
import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:tls'
import { Server } from '@grpc/grpc-js'
import { TrustDomain, X509Bundle, X509Svid } from 'authsec-sdk'
import { serveGrpc } from 'authsec-sdk/grpc'
import { createHttp2Server } from 'authsec-sdk/http2'
import { createHttpsServer } from 'authsec-sdk/https'
import { attachSpiffeToServer, createTlsOptionsForServer } from 'authsec-sdk/tls'
import { ask } from './ask.mjs'
import { LiveSource } from './live-source.mjs'
import { measure } from './memory.mjs'

const [first] = await once(process, 'message')
const source = new LiveSource({ svid: svidOf(first.svid), bundles: bundlesOf(first.bundles) })
const counts = { answered: {}, wronglyAdmitted: 0, wronglyBelieved: 0, rotations: 0 }

/** A request has reached a handler; `who` is what its sender calls itself, for the count. */
function note(kind, who) {
  if (who === 'caller') counts.answered[kind] = (counts.answered[kind] ?? 0) + 1
  else counts.wronglyAdmitted++
}

const options = { authorize: first.callerId }
const answer = (kind) => (request, response) => {
  note(kind, request.headers['x-who'])
  response.end('in')
}
const plain = createServer(createTlsOptionsForServer(source), (socket) => {
  socket.on('error', () => undefined)
  socket.setEncoding('utf8').once('data', (who) => {
    note('tls', who)
    socket.end('in')
  })
})
attachSpiffeToServer(plain, source, options)
const grpc = new Server({ 'grpc.max_connection_age_ms': 1_500, 'grpc.max_connection_age_grace_ms': 5_000 })
grpc.addService(
  { ask },
  {
    ask(call, done) {
      note('grpc', call.request)
      done(null, 'in')
    },
  },
)

const pretender = () => {
  const server = createSecureServer({ allowHTTP1: true, requestCert: true, rejectUnauthorized: false })
  server.on('request', (_request, response) => {
    counts.wronglyBelieved++
    response.end('in')
  })
  return server.on('sessionError', () => undefined)
}
const servers = {
  https: createHttpsServer(source, options, answer('https')),
  http2: createHttp2Server(source, options, answer('http2')),
  grpc: serveGrpc(grpc, source, options),
  tls: plain,
  stranger: pretender(),
  impostor: pretender(),
}
pretend(first)

const ports = {}
for (const [name, server] of Object.entries(servers)) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ports[name] = server.address().port
}

process.on('message', async (message) => {
  if (message.svid) {
    counts.rotations++
    source.use({ svid: svidOf(message.svid) })
    process.send('taken')
  }
  if (message.bundles) source.use({ bundles: bundlesOf(message.bundles) })
  if (message.stranger) pretend(message)
  if (message.sample) process.send({ ...(await measure()), counts })
})
process.send({ ports })

function pretend({ stranger, impostor }) {
  if (stranger) servers.stranger.setSecureContext(stranger)
  if (impostor) servers.impostor.setSecureContext(impostor)
}

function svidOf({ cert, key }) {
  return X509Svid.parsePem(cert, key)
}

function bundlesOf(bundles) {
  return bundles.map(({ trustDomain, pem }) => X509Bundle.parsePem(TrustDomain.parse(trustDomain), pem))
}
