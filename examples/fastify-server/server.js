import Fastify from 'fastify'
import { QuickStartSVID, authorizeMemberOf } from 'authsec-sdk'
import { requireSpiffeId, spiffePlugin, spiffeServerFactory } from 'authsec-sdk/fastify'

const svid = await QuickStartSVID.initialize()
const app = Fastify({ serverFactory: spiffeServerFactory(svid, { authorize: authorizeMemberOf('example.org') }) })
await app.register(spiffePlugin)

app.get('/hello', (request) => ({ hello: request.caller?.id.toString() }))
// One route for one caller; everybody else gets 403.
app.get('/pay', { onRequest: requireSpiffeId('spiffe://example.org/shop') }, () => ({ paid: true }))

await app.listen({ port: Number(process.env.PORT ?? 8443) })
console.log('ready')
svid.shutdownOnSignals({ servers: [app] })
