import { setTimeout as sleep } from 'node:timers/promises'
import { QuickStartSVID, authorizeMemberOf } from 'authsec-sdk'

const svid = await QuickStartSVID.initialize()
const server = svid.createHttpsServer({ authorize: authorizeMemberOf('example.org') }, async (_request, response) => {
  console.log('a request that takes a while')
  await sleep(1_000)
  response.end('done\n')
})
server.listen(process.env.PORT ?? 8443, () => console.log('ready'))

// SIGTERM: nothing is accepted any more, what runs finishes, the files go, and the process exits 0.
svid.shutdownOnSignals({ servers: [server], graceMs: 10_000, onFailed: (error) => console.error(error) })
