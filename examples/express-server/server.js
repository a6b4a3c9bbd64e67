import express from 'express'
import { QuickStartSVID, authorizeMemberOf } from 'authsec-sdk'
import { requireSpiffeId, spiffeCaller } from 'authsec-sdk/express'

const svid = await QuickStartSVID.initialize()
const app = express()
app.use(spiffeCaller())

app.get('/hello', (request, response) => {
  response.json({ hello: request.caller?.id.toString() })
})
// One route for one caller; everybody else gets 403.
app.get('/pay', requireSpiffeId('spiffe://example.org/shop'), (request, response) => {
  response.json({ paid: true })
})

// Everybody else gets 403 here too, and whoever proves nothing no connection.
const server = svid.createHttpsServer({ authorize: authorizeMemberOf('example.org') }, app)
server.listen(process.env.PORT ?? 8443, () => console.log('ready'))
svid.shutdownOnSignals({ servers: [server] })
