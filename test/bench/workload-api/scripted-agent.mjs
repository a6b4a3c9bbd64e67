// An agent on a Unix socket whose streams send what the benchmark wants, when it wants. Its codecs are proto-loader's.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { DevAgent } from 'authsec-sdk/dev-agent'

const schema = loadSync(fileURLToPath(new URL('../../../proto/workload.proto', import.meta.url)))
const { FetchX509SVID } = schema.SpiffeWorkloadAPI

/** Messages with different SVIDs of one workload: EC P-256, as agents issue them. */
export async function makeMessages(count) {
  const agent = await DevAgent.start({ trustDomain: 'bench.test' })
  try {
    const workload = await agent.workload('spiffe://bench.test/workload')
    const messages = []
    while (messages.length < count) {
      await workload.rotate()
      const { svid } = workload
      const entry = {
        spiffeId: svid.id.toString(),
        x509Svid: svid.certificatesDer(),
        x509SvidKey: svid.privateKeyDer(),
        bundle: agent.bundle.toDer(),
      }
      messages.push(schema.X509SVIDResponse.serialize({ svids: [entry] }))
    }
    return messages
  } finally {
    await agent.close()
  }
}

/** @param {(call: object) => void} serve - Gets each stream; what it writes are the bytes of a message. */
export async function startScriptedAgent(serve) {
  const directory = await mkdtemp(join(tmpdir(), 'bench-'))
  const path = join(directory, 'agent.sock')
  const server = new Server()
  server.addService(
    { FetchX509SVID: { ...FetchX509SVID, responseSerialize: (bytes) => bytes } },
    { FetchX509SVID: serve },
  )
  await new Promise((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure()
    server.bindAsync(`unix:${path}`, credentials, (error) => (error ? reject(error) : resolve()))
  })
  return {
    endpoint: `unix://${path}`,
    close: async () => {
      server.forceShutdown()
      await rm(directory, { recursive: true })
    },
  }
}
