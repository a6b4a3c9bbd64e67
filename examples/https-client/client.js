import { get } from 'node:https'
import { json } from 'node:stream/consumers'
import { QuickStartSVID } from 'authsec-sdk'

const url = process.env.PAYMENTS_URL ?? 'https://localhost:8443'
const svid = await QuickStartSVID.initialize()
// One agent for each kind of server, for as long as the process runs. Libraries such as axios and got take it too.
const agent = svid.httpsAgent({ authorize: 'spiffe://example.org/payments', keepAlive: true })

get(`${url}/pay`, { agent }, async (response) => {
  console.log(response.statusCode, await json(response))
}).on('error', (error) => console.error(error))
