// The inventory service: Fastify over TLS. The connection admits the whole trust domain, each route names its callers.
import Fastify from 'fastify'
import { authorizeMemberOf, QuickStartSVID } from 'authsec-sdk'
import { requireSpiffeId, spiffePlugin, spiffeServerFactory } from 'authsec-sdk/fastify'
import { createDispatcher } from 'authsec-sdk/undici'
import { allowed, ids, introduce } from './process.js'

const svid = await QuickStartSVID.initialize()
const toPayments = createDispatcher(svid, { authorize: ids.payments })

const app = Fastify({ serverFactory: spiffeServerFactory(svid, { authorize: authorizeMemberOf('demo.test') }) })
await app.register(spiffePlugin)
app.get('/stock', { onRequest: requireSpiffeId(allowed()) }, (request) => ({
  stock: 7,
  caller: request.caller?.id.toString(),
}))
// Inventory bills what it sends: the call goes the other way round, with fetch.
app.get('/bill', { onRequest: requireSpiffeId(ids.client) }, async (request) => {
  const answer = await fetch(`${request.query.payments}/pay`, { dispatcher: toPayments })
  return { billed: true, payment: await answer.json() }
})

await app.listen({ port: 0, host: '127.0.0.1' })
introduce('inventory', svid, app.server.address())
