// The process under observation: a service that answers and calls a peer, with its files on disk.
// Run with a channel: it answers 'sample' with its measures, and ends in good order after 'stop'.
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { QuickStartSVID } from 'authsec-sdk'
import { measure, processorShare, processorTime } from '../measure.mjs'
import { randomFrom } from '../random.mjs'
import { answer, startTraffic } from './traffic.mjs'

const { endpoint, peerUrl, peerId, seed } = JSON.parse(process.argv[2])
const svid = await QuickStartSVID.initialize({ endpoint })
const directory = dirname(svid.certFilePath)
const events = {}
for (const name of ['rotated', 'written', 'expiring', 'expired', 'withdrawn', 'unavailable', 'restored', 'warning']) {
  events[name] = 0
  svid.on(name, () => events[name]++)
}
const server = svid.createHttpsServer({ authorize: peerId }, (request, response) => void answer(request, response))
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const stop = new AbortController()
const { counts, ended } = startTraffic({
  svid,
  url: peerUrl,
  authorize: peerId,
  random: randomFrom(seed),
  signal: stop.signal,
  workers: 2,
})

/** Everything below a directory, links not followed. */
function countFiles(path) {
  let count = 0
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    count += 1 + (entry.isDirectory() ? countFiles(join(path, entry.name)) : 0)
  }
  return count
}

const begin = processorTime()

async function sample() {
  return {
    ...(await measure()),
    timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length,
    files: countFiles(directory),
    listeners: svid.source.listenerCount('update') + process.listenerCount('exit'),
    rotations: events.rotated,
    counts,
    events,
  }
}

process.on('message', async (message) => {
  if (message === 'sample') process.send({ sample: await sample() })
  if (message !== 'stop') return
  const share = processorShare(begin, processorTime())
  stop.abort()
  await ended
  server.close()
  server.closeIdleConnections()
  await svid.shutdown()
  process.send({ ended: { filesLeft: existsSync(directory), counts, events, share } }, () => process.disconnect())
})
process.send({ url: `https://127.0.0.1:${server.address().port}` })
