// A service of several processes that share a port: each worker has an identity object, and a stream, of its own.
import cluster from 'node:cluster'
import { existsSync } from 'node:fs'

const [, , index, endpoint, authorize, workers] = process.argv
if (cluster.isPrimary) {
  let listening = 0
  for (let i = 0; i < Number(workers); i++) cluster.fork()
  cluster.on('listening', (_worker, { port }) => {
    if (++listening === Number(workers)) process.stdout.write(`${port}\n`)
  })
  const left = []
  cluster.on('message', (_worker, directory) => left.push(directory))
  process.once('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGTERM')
    let alive = Number(workers)
    const codes = []
    cluster.on('exit', (_worker, code) => {
      codes.push(code)
      if (--alive > 0) return
      process.stdout.write(`${JSON.stringify({ codes, left: left.filter((path) => existsSync(path)) })}\n`)
    })
  })
} else {
  const { QuickStartSVID } = await import(index)
  const svid = await QuickStartSVID.initialize({ endpoint })
  process.send(svid.certFilePath)
  const server = svid.createHttpsServer({ authorize }, (_request, response) => {
    response.end(JSON.stringify({ pid: process.pid, serialNumber: svid.getX509Svid().serialNumber }))
  })
  server.listen(0, '127.0.0.1')
  svid.shutdownOnSignals({ servers: [server] })
  // The channel to the primary holds a worker.
  process.once('SIGTERM', () => cluster.worker.disconnect())
}
