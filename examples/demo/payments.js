// The payment service: Express on an https server that proves who it is and admits only the SPIFFE IDs on its list.
import express from 'express'
import { QuickStartSVID } from 'authsec-sdk'
import { requireSpiffeId, spiffeCaller } from 'authsec-sdk/express'
import { callJson } from './call.js'
import { allowed, ids, introduce } from './process.js'

const svid = await QuickStartSVID.initialize()
const toInventory = svid.httpsAgent({ authorize: ids.inventory })

const app = express()
app.use(spiffeCaller())
app.get('/pay', (req, res) => {
  res.json({ paid: '42.00 EUR', caller: req.caller?.id.toString() })
})
// Payments asks inventory before it ships: the same identity, now as a client.
app.get('/ship', requireSpiffeId([ids.client]), async (req, res) => {
  const { body } = await callJson(`${String(req.query['inventory'])}/stock`, { agent: toInventory })
  res.json({ shipped: true, stock: body })
})

const server = svid.createHttpsServer({ authorize: allowed() }, app)
server.listen(0, '127.0.0.1', () => introduce('payments', svid, server.address()))
