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
import { measure, processorTime } from '../measure.mjs'
import { ask } from './ask.mjs'
import { answerParent } from './conversation.mjs'
import { LiveSource } from './live-source.mjs'

const first = JSON.parse(process.argv[2])
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
// Not less: a call that a closing connection refuses is sent once more by grpc-js and then given up, so a machine on which a
// connection is old before its first call arrives would see calls fail.
const grpc = new Server({ 'grpc.max_connection_age_ms': 5_000, 'grpc.max_connection_age_grace_ms': 5_000 })
grpc.addService(
  { ask },
  {
    ask(call, done) {
      note('grpc', call.request)
      done(null, 'in')
    },
  },
)

const pretender = (pem) => {
  const server = createSecureServer({ ...pem, allowHTTP1: true, requestCert: true, rejectUnauthorized: false })
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
  stranger: pretender(first.stranger),
  impostor: pretender(first.impostor),
}

const ports = {}
for (const [name, server] of Object.entries(servers)) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ports[name] = server.address().port
}

/** Connections of the true servers, from their first byte on. */
const connections = new Set()
for (const name of ['https', 'http2', 'grpc', 'tls'])
  servers[name].on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })

answerParent({
  svid(pem) {
    counts.rotations++
    source.use({ svid: svidOf(pem) })
  },
  bundles: (message) => source.use({ bundles: bundlesOf(message) }),
  stranger: (pem) => servers.stranger.setSecureContext(pem),
  /** Until the connections that there are now have ended. */
  drained: async () => {
    await Promise.all([...connections].map((socket) => new Promise((ended) => socket.once('close', ended))))
  },
  sample: async () => ({ ...(await measure()), counts }),
  processorTime,
  ports: () => ports,
})

function svidOf({ cert, key }) {
  return X509Svid.parsePem(cert, key)
}

function bundlesOf(bundles) {
  return bundles.map(({ trustDomain, pem }) => X509Bundle.parsePem(TrustDomain.parse(trustDomain), pem))
}
