// One server of the keep-alive benchmark: how it is made is the argument, its identity the first message.
import { once } from 'node:events'
import { createServer } from 'node:https'
import express from 'express'
import Fastify from 'fastify'
import { TrustDomain, X509Bundle, X509Svid } from 'authsec-sdk'
import { requireSpiffeId } from 'authsec-sdk/express'
import { requireSpiffeId as requireOnRoute, spiffePlugin, spiffeServerFactory } from 'authsec-sdk/fastify'
import { createHttpsServer } from 'authsec-sdk/https'
import { LiveSource } from '../../soak/tls/live-source.mjs'

const [{ cert, key, bundles, clientId }] = await once(process, 'message')
const source = new LiveSource({
  svid: X509Svid.parsePem(cert, key),
  bundles: bundles.map(([name, pem]) => X509Bundle.parsePem(TrustDomain.parse(name), pem)),
})
const authorize = clientId
const ca = bundles.map(([, pem]) => pem)
const native = (listener) =>
  createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' }, listener)
const answer = (_request, response) => response.end('in')

async function fastify(serverFactory, route) {
  const app = Fastify({ serverFactory })
  if (route) await app.register(spiffePlugin)
  app.get('/', route ?? {}, async () => 'in')
  await app.ready()
  return app.server
}

const kinds = {
  https: () => native(answer),
  'https authorized': () => createHttpsServer(source, { authorize }, answer),
  express: () => native(express().get('/', answer)),
  'express authorized': () => createHttpsServer(source, { authorize }, express().get('/', answer)),
  'express authorized by route': () =>
    createHttpsServer(source, { authorize }, express().get('/', requireSpiffeId(clientId), answer)),
  fastify: () => fastify(native),
  'fastify authorized': () => fastify(spiffeServerFactory(source, { authorize })),
  'fastify authorized by route': () =>
    fastify(spiffeServerFactory(source, { authorize }), { onRequest: requireOnRoute(clientId) }),
}

const server = await kinds[process.argv[2]]()
// The clients come back whenever it is their turn, which no server shall find too late.
server.keepAliveTimeout = 3_600_000
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.on('message', () => process.send(process.cpuUsage()))
process.send({ port: server.address().port })
