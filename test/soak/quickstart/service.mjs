// The process under observation: a service that answers and calls a peer, with its files on disk.
// Run with --expose-gc and a channel: it answers 'sample' with its measures, and ends in good order after 'stop'.
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { QuickStartSVID } from 'authsec-sdk'
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

async function sample() {
  for (let round = 0; round < 3; round++) {
    globalThis.gc()
    await turn()
  }
  const { heapUsed, rss, external } = process.memoryUsage()
  return {
    heap: heapUsed,
    rss,
    external,
    handles: existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0,
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
  stop.abort()
  await ended
  server.close()
  server.closeIdleConnections()
  await svid.shutdown()
  process.send({ ended: { filesLeft: existsSync(directory), counts, events } }, () => process.disconnect())
})
process.send({ url: `https://127.0.0.1:${server.address().port}` })
