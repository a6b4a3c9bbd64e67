import { promisify } from 'node:util'
import { QuickStartSVID } from 'authsec-sdk'
import { createGrpcChannelCredentials } from 'authsec-sdk/grpc'
import { Greeter } from './greeter.js'

const svid = await QuickStartSVID.initialize()
const credentials = createGrpcChannelCredentials(svid, { authorize: 'spiffe://example.org/payments' })
const client = new Greeter(process.env.GREETER ?? 'localhost:50051', credentials)

const greet = promisify(client.Greet.bind(client))
try {
  console.log((await greet({ text: 'Good morning' })).text)
} catch (error) {
  console.log('refused:', error.details)
}
client.close()
