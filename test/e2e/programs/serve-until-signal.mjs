// A service that shuts down in good order: /slow takes a while, /fast does not.
import { createServer } from 'node:http'

const [, , index, endpoint, certDir, graceMs, held] = process.argv
const { QuickStartSVID } = await import(index)
const svid = await QuickStartSVID.initialize({ endpoint, certDir })
const server = createServer((request, response) => {
  if (request.url === '/slow') {
    process.stdout.write('slow request arrived\n')
    response.flushHeaders()
    setTimeout(() => response.end('done'), 400)
  } else if (request.url === '/stuck') {
    process.stdout.write('stuck request arrived\n')
    response.flushHeaders()
  } else response.end('done')
})
svid.shutdownOnSignals({ servers: [server], graceMs: Number(graceMs) })
// Something that the application forgot to close.
if (held === 'held') setInterval(() => undefined, 1_000)
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
