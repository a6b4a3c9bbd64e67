import { Server } from '@grpc/grpc-js'
import { QuickStartSVID } from 'authsec-sdk'
import { callerOfCall, serveGrpc } from 'authsec-sdk/grpc'
import { Greeter } from './greeter.js'

const svid = await QuickStartSVID.initialize()
// Clients come back from time to time, with their newest SVID.
const grpc = new Server({ 'grpc.max_connection_age_ms': 600_000 })
grpc.addService(Greeter.service, {
  Greet: (call, callback) => callback(null, { text: `${call.request.text}, ${callerOfCall(call)?.id}` }),
})

const server = serveGrpc(grpc, svid, { authorize: ['spiffe://example.org/shop'] })
server.listen(process.env.PORT ?? 50051, () => console.log('ready'))
