// A service with QuickStartSVID under load in both directions, through a rotation every second.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { QuickStartSVID } from 'authsec-sdk'
import { DevAgent } from 'authsec-sdk/dev-agent'
import { judgeFlat } from '../flat.mjs'
import { processorShare, processorTime } from '../measure.mjs'
import { randomFrom } from '../random.mjs'
import { answer, startTraffic } from './traffic.mjs'

const [serviceId, peerId] = ['spiffe://soak.test/service', 'spiffe://soak.test/peer']
const mebibyte = 1024 * 1024
/**
 * What each measure may have grown by from the beginning of the judged time to its end. Handles and timers come and go
 * with the calls, and a sample may meet a generation of files that is being written.
 */
const allowed = {
  heap: mebibyte,
  external: mebibyte,
  rss: 16 * mebibyte,
  handles: 6,
  timers: 6,
  files: 6,
  listeners: 0,
}
/** `current`, the four stable links, two generations of four files, one more being written, a link about to be renamed. */
const mostFiles = 1 + 4 + 3 * 5 + 1
const samplesWanted = 60

export async function soak({ seconds, seed, log }) {
  // Long enough that a machine under strain cannot let a certificate run out between two rotations.
  const agent = await DevAgent.start({ trustDomain: 'soak.test', svidTtlMs: 60_000 })
  const peer = await QuickStartSVID.create({ endpoint: (await agent.workload(peerId)).endpoint, files: false })
  const server = peer.createHttpsServer({ authorize: serviceId }, (request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const { endpoint } = await agent.workload(serviceId)
  const peerUrl = `https://127.0.0.1:${server.address().port}`
  const program = fileURLToPath(new URL('service.mjs', import.meta.url))
  const service = fork(program, [JSON.stringify({ endpoint, peerUrl, peerId, seed })])
  const exit = once(service, 'exit')
  const stop = new AbortController()
  const begin = performance.now()
  const elapsed = () => (performance.now() - begin) / 1000
  try {
    const { url } = await message(service)
    const random = randomFrom(seed + 1)
    const traffic = startTraffic({ svid: peer, url, authorize: serviceId, random, signal: stop.signal, workers: 1 })
    const rotating = rotateEverySecond(agent, stop.signal)
    const processor = processorTime()

    const samples = []
    const everyMs = Math.max(1_000, (seconds * 1000) / samplesWanted)
    while (elapsed() < seconds) {
      await sleep(everyMs)
      const reply = message(service)
      service.send('sample')
      const { sample } = await reply
      samples.push({ seconds: Math.round(elapsed()), ...sample })
      if (samples.length % 10 === 0) log(line(samples.at(-1)))
    }
    stop.abort()
    const share = processorShare(processor, processorTime())
    await Promise.all([traffic.ended, rotating])
    const ending = performance.now()
    const reply = message(service)
    service.send('stop')
    const { ended } = await reply
    const [code] = await exit
    const endedMs = Math.round(performance.now() - ending)
    return judge({ seconds, seed, samples, peerCounts: traffic.counts, ended, code, endedMs, share })
  } finally {
    stop.abort()
    service.kill('SIGKILL')
    server.close()
    server.closeAllConnections()
    await peer.shutdown()
    await agent.close()
  }
}

function judge({ seconds, seed, samples, peerCounts, ended, code, endedMs, share: shareOfPeer }) {
  const violations = []
  const expect = (holds, text) => holds || violations.push(text)
  const flat = {}
  for (const [name, limit] of Object.entries(allowed)) {
    const series = samples.map((sample) => ({ at: sample.rotations, value: sample[name] }))
    const { summary, violation } = judgeFlat(name, series, limit)
    flat[name] = summary
    expect(!violation, violation)
  }
  const { counts, events } = ended
  // Where other programs keep the processors busy, everything takes longer in the proportion that both processes report.
  const share = Math.min(shareOfPeer, ended.share)
  const calls = {}
  for (const [who, { https, undici, failed }] of Object.entries({ service: counts, peer: peerCounts })) {
    calls[who] = { https, undici, failed }
    expect(
      Math.min(https, undici) > seconds * 3 * share,
      `${who}: ${https} https and ${undici} undici calls are too few (share ${share})`,
    )
  }
  const failures = { ...counts.failures, ...peerCounts.failures }
  for (const [reason, times] of Object.entries(failures)) violations.push(`${times} calls failed: ${reason}`)
  expect(
    events.rotated > seconds * 0.7 * share,
    `${events.rotated} rotations in ${seconds} s are too few (share ${share})`,
  )
  expect(flat.files.max <= mostFiles, `${flat.files.max} files at once; at most ${mostFiles} are due`)
  for (const name of ['expiring', 'expired', 'withdrawn', 'unavailable', 'warning']) {
    expect(events[name] === 0, `the service told ${events[name]} times of "${name}"`)
  }
  expect(!ended.filesLeft, 'files were left after shutdown()')
  expect(code === 0, `the service ended with ${code}`)
  expect(endedMs * share < 5_000, `the service took ${endedMs} ms to end (share ${share})`)
  const measured = ['seconds', 'rotations', ...Object.keys(allowed)]
  const kept = samples.map((sample) => Object.fromEntries(measured.map((name) => [name, sample[name]])))
  const processor = { service: ended.share, peer: shareOfPeer }
  return {
    violations,
    seconds,
    seed,
    rotations: events.rotated,
    calls,
    events,
    processor,
    flat,
    endedMs,
    samples: kept,
  }
}

async function rotateEverySecond(agent, signal) {
  while (!signal.aborted) {
    await sleep(1_000)
    await agent.rotate()
  }
}

function message(child) {
  return new Promise((resolve, reject) => {
    const onMessage = (value) => {
      child.off('exit', onExit)
      resolve(value)
    }
    const onExit = (code, signal) => {
      child.off('message', onMessage)
      reject(new Error(`the service ended with ${code ?? signal}`))
    }
    child.once('message', onMessage)
    child.once('exit', onExit)
  })
}

function line({ seconds, rotations, heap, rss, handles, files, counts }) {
  const mib = (bytes) => (bytes / mebibyte).toFixed(1)
  const calls = counts.https + counts.undici
  return `${seconds} s: ${rotations} rotations, ${calls} calls, heap ${mib(heap)} MiB, rss ${mib(rss)} MiB, ${handles} handles, ${files} files`
}
