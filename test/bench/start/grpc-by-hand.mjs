// The least that grpc-js can do: one call with codecs written by hand, nothing verified.
import { Client, credentials, Metadata } from '@grpc/grpc-js'

/** Reads length-delimited fields only, which is all that these messages have. */
function fields(bytes) {
  const found = []
  let at = 0
  const varint = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const number = varint() >>> 3
    const length = varint()
    found.push([number, bytes.subarray(at, at + length)])
    at += length
  }
  return found
}

const names = ['', 'spiffeId', 'x509Svid', 'x509SvidKey', 'bundle', 'hint']
const decode = (bytes) => ({
  svids: fields(bytes)
    .filter(([number]) => number === 1)
    .map(([, svid]) => Object.fromEntries(fields(svid).map(([number, value]) => [names[number], value]))),
})

const client = new Client(process.env.SPIFFE_ENDPOINT_SOCKET, credentials.createInsecure())
const metadata = new Metadata()
metadata.set('workload.spiffe.io', 'true')
const path = '/SpiffeWorkloadAPI/FetchX509SVID'
const call = client.makeServerStreamRequest(path, () => Buffer.alloc(0), decode, {}, metadata)
call.once('data', ({ svids }) => {
  if (svids[0].x509Svid.length === 0) throw new Error('no SVID')
  process.stdout.write('ready')
  call.cancel()
  client.close()
})
call.on('error', () => {})
