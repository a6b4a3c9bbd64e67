// Asks the agent again and again, as fast as is decent, to learn when it issues the first SVID.
import { setTimeout as delay } from 'node:timers/promises'
import { WorkloadApiClient } from 'authsec-sdk'
import { tell } from './channel.mjs'

const everyMs = 20

const client = new WorkloadApiClient()
for (let issued = false; !issued;) {
  issued = await client.fetchX509Context({ timeoutMs: 5_000 }).then(
    () => true,
    () => false,
  )
  if (issued) tell('issued')
  else await delay(everyMs)
}
await client.close()
process.disconnect()
