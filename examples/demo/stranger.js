// The stranger: a valid SVID of the same trust domain, on nobody's list.
import { QuickStartSVID } from 'authsec-sdk'
import { callJson } from './call.js'
import { ids, introduce } from './process.js'

const svid = await QuickStartSVID.initialize()
const toPayments = svid.httpsAgent({ authorize: ids.payments })
const toInventory = svid.httpsAgent({ authorize: ids.inventory })

process.on('message', async ({ seq, urls }) => {
  const value = {
    payments: await callJson(`${urls.payments}/pay`, { agent: toPayments }),
    inventory: await callJson(`${urls.inventory}/stock`, { agent: toInventory }),
  }
  process.send({ type: 'answer', seq, value })
})
introduce('stranger', svid)
