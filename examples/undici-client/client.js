import { request } from 'undici'
import { QuickStartSVID } from 'authsec-sdk'
import { createDispatcher } from 'authsec-sdk/undici'

const url = process.env.PAYMENTS_URL ?? 'https://localhost:8443'
const svid = await QuickStartSVID.initialize()
// One dispatcher for each kind of server, for as long as the process runs.
const payments = createDispatcher(svid, { authorize: 'spiffe://example.org/payments' })

const answer = await fetch(`${url}/pay`, { dispatcher: payments })
console.log('fetch:', answer.status, await answer.json())

const { statusCode, body } = await request(`${url}/hello`, { dispatcher: payments })
console.log('undici:', statusCode, await body.json())

// Somebody else at that address is no payments service, whatever else they can prove.
const ledger = createDispatcher(svid, { authorize: 'spiffe://example.org/ledger' })
await fetch(`${url}/pay`, { dispatcher: ledger }).catch((error) => console.log('refused:', error.cause.code))
