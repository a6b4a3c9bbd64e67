// Follows FetchX509SVID in one of three ways:  node follow.mjs KIND tell   prints the time of each new snapshot;
// node --expose-gc follow.mjs KIND grow WARM-UP UPDATES   prints how much memory is resident before and after UPDATES.
import { fileURLToPath } from 'node:url'

const [kind, mode, warmUp, updates] = process.argv.slice(2)
const endpoint = process.env.SPIFFE_ENDPOINT_SOCKET

/** Each calls back once its new snapshot can be used. */
const kinds = {
  async source(onSnapshot) {
    const { X509Source } = await import('authsec-sdk')
    const source = X509Source.start()
    // An open source does not keep a program alive.
    setInterval(() => undefined, 60_000)
    source.onUpdate(() => onSnapshot(source.getX509Svid()))
  },
  async bytes(onSnapshot) {
    const { Client, credentials, Metadata } = await import('@grpc/grpc-js')
    const metadata = new Metadata()
    metadata.set('workload.spiffe.io', 'true')
    const path = '/SpiffeWorkloadAPI/FetchX509SVID'
    new Client(endpoint, credentials.createInsecure())
      .makeServerStreamRequest(
        path,
        () => Buffer.alloc(0),
        (bytes) => bytes,
        {},
        metadata,
      )
      .on('data', onSnapshot)
  },
  async loader(onSnapshot) {
    const { credentials, loadPackageDefinition, Metadata } = await import('@grpc/grpc-js')
    const { loadSync } = await import('@grpc/proto-loader')
    const file = fileURLToPath(new URL('../../../proto/workload.proto', import.meta.url))
    const { SpiffeWorkloadAPI } = loadPackageDefinition(loadSync(file))
    const metadata = new Metadata()
    metadata.set('workload.spiffe.io', 'true')
    new SpiffeWorkloadAPI(endpoint, credentials.createInsecure())
      .FetchX509SVID({}, metadata)
      .on('data', ({ svids }) => onSnapshot(svids[0]))
  },
}

async function residentMiB() {
  let least = Infinity
  // Again after a pause: what a finalizer lets go is garbage of the next round, and pages go back to the system later.
  // Messages come all the time, so right after the collector there is the least of what they leave.
  for (let round = 0; round < 20; round++) {
    globalThis.gc()
    least = Math.min(least, process.memoryUsage().rss)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return least / 1024 / 1024
}

let seen = 0
let wanted = Infinity
let reached = () => undefined
const until = (count) =>
  new Promise((resolve) => {
    wanted = count
    reached = resolve
  })

if (mode === 'tell') {
  await kinds[kind](() => {
    process.stdout.write(`${process.hrtime.bigint()}\n`)
  })
} else {
  let newest
  const warm = until(Number(warmUp))
  await kinds[kind]((snapshot) => {
    newest = snapshot
    if (++seen >= wanted) reached()
  })
  await warm
  const before = await residentMiB()
  await until(seen + Number(updates))
  const after = await residentMiB()
  if (!newest) throw new Error('no snapshot')
  process.stdout.write(JSON.stringify({ before, after }), () => process.exit())
}
