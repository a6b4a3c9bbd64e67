// A service with two workers: one reads the files of the main thread, one has a stream of its own.
import { once } from 'node:events'
import { dirname } from 'node:path'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'

if (isMainThread) {
  const [, , index, endpoint, files] = process.argv
  const { QuickStartSVID } = await import(index)
  const svid = await QuickStartSVID.initialize({ endpoint })
  const directory = dirname(svid.certFilePath)
  const seen = {}
  for (const how of ['files', 'stream']) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { how, index, endpoint, files, directory } })
    const [message] = await once(worker, 'message')
    seen[how] = message
    await once(worker, 'exit')
  }
  // A worker that ends takes nothing of the others with it.
  const { existsSync } = await import('node:fs')
  process.stdout.write(
    JSON.stringify({ ...seen, main: svid.getX509Svid().serialNumber, kept: existsSync(svid.certFilePath) }),
  )
} else {
  const { how, index, endpoint, files, directory } = workerData
  if (how === 'files') {
    const { X509FileSource } = await import(files)
    const source = await X509FileSource.open({ directory })
    parentPort.postMessage(source.getX509Svid().serialNumber)
  } else {
    const { QuickStartSVID } = await import(index)
    const svid = await QuickStartSVID.initialize({ endpoint })
    parentPort.postMessage(svid.getX509Svid().serialNumber)
  }
}
