// What most programs do: grpc-js with the schema read by proto-loader, nothing verified.
import { fileURLToPath } from 'node:url'
import { credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const schema = loadSync(fileURLToPath(new URL('../../../proto/workload.proto', import.meta.url)))
const { SpiffeWorkloadAPI } = loadPackageDefinition(schema)
const client = new SpiffeWorkloadAPI(process.env.SPIFFE_ENDPOINT_SOCKET, credentials.createInsecure())
const metadata = new Metadata()
metadata.set('workload.spiffe.io', 'true')
const call = client.FetchX509SVID({}, metadata)
call.once('data', ({ svids }) => {
  if (svids[0].x509Svid.length === 0) throw new Error('no SVID')
  process.stdout.write('ready')
  call.cancel()
  client.close()
})
call.on('error', () => {})
