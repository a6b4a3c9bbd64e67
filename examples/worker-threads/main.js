import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { QuickStartSVID } from 'authsec-sdk'

const svid = await QuickStartSVID.initialize()
console.log(`main: ${svid.spiffeId}`)
for (const name of ['one', 'two']) {
  const worker = new Worker(new URL('worker.js', import.meta.url), {
    workerData: { name, directory: dirname(svid.certFilePath) },
  })
  worker.on('message', (text) => console.log(`${name}: ${text}`))
}
