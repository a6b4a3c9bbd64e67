import { get } from 'node:https'
import { text } from 'node:stream/consumers'
import { parentPort, workerData } from 'node:worker_threads'
import { X509FileSource } from 'authsec-sdk/files'
import { SpiffeHttpsAgent } from 'authsec-sdk/https'

// The main thread has the only stream to the agent; its files are a source like any other, and always the newest.
const source = await X509FileSource.open({ directory: workerData.directory })
const agent = new SpiffeHttpsAgent(source, { authorize: 'spiffe://example.org/payments' })

get(process.env.PAYMENTS_URL ?? 'https://localhost:8443', { agent }, async (response) => {
  parentPort?.postMessage(`${source.getX509Svid().id} was told: ${await text(response)}`)
}).on('error', (error) => parentPort?.postMessage(String(error)))
