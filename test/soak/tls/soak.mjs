// Every kind of client against every kind of server, both with a new SVID every 20 ms and an authority that is replaced
// every few seconds, while a stranger and an impostor keep trying on both sides.
import { fork } from 'node:child_process'
import { on } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { judgeFlat } from '../flat.mjs'
import { randomFrom } from '../random.mjs'
import { clients, codeOf } from './clients.mjs'
import { LiveSource } from './live-source.mjs'
import { measure } from './memory.mjs'
import { ids, messageOf, pemOf, World } from './world.mjs'

const mebibyte = 1024 * 1024
/** What each measure of either process may have grown by from the beginning of the judged time to its end. */
const allowed = { heap: 3 * mebibyte, external: 2 * mebibyte, rss: 24 * mebibyte, handles: 24 }
const samplesWanted = 60
const rotateEveryMs = 20
const workersPerKind = 8
/** Longest pause of a worker between two requests. */
const pauseMs = 500
/** undici serves its own functions and the global fetch; half of its workers use each. */
const workload = [
  ...['https', 'http2', 'grpc', 'tls'].flatMap((kind) => Array(workersPerKind).fill(kind)),
  ...['undici', 'fetch'].flatMap((kind) => Array(workersPerKind / 2).fill(kind)),
]
const serverOf = { https: 'https', undici: 'https', fetch: 'https', http2: 'http2', grpc: 'grpc', tls: 'tls' }

export async function soak({ seconds, seed, log }) {
  const random = randomFrom(seed)
  const world = new World()
  const bundles = world.bundles()
  const source = new LiveSource({ svid: world.svid(ids.caller), bundles })
  const stranger = new LiveSource({ svid: world.svid(ids.stranger), bundles })
  const impostor = new LiveSource({ svid: world.forged(ids.caller), bundles })
  const child = fork(fileURLToPath(new URL('service.mjs', import.meta.url)))
  const gone = new AbortController()
  child.once('exit', (code, signal) => gone.abort(new Error(`the servers ended with ${code ?? signal}`)))
  const stop = new AbortController()
  const ask = async (message) => {
    const replies = on(child, 'message', { signal: gone.signal })
    child.send(message)
    for await (const [reply] of replies) if (reply !== 'taken') return reply
  }
  try {
    const { ports } = await ask({
      svid: pemOf(world.svid(ids.service)),
      bundles: messageOf(bundles),
      callerId: ids.caller,
      stranger: pemOf(world.svid(ids.stranger)),
      impostor: pemOf(world.forged(ids.service)),
    })
    const counts = { answered: {}, failed: 0, failures: {}, refused: {}, wronglyAdmitted: 0, wronglyBelieved: 0 }
    let rotations = 0
    // The next identity of the servers is sent when they have taken the last one, so that none waits in a queue.
    let taken = true
    child.on('message', (message) => (taken ||= message === 'taken'))
    const rotation = setInterval(() => {
      source.use({ svid: world.svid(ids.caller) })
      rotations++
      if (!taken) return
      taken = false
      child.send({ svid: pemOf(world.svid(ids.service)) })
    }, rotateEveryMs)
    const share = () => {
      const now = world.bundles()
      for (const one of [source, stranger, impostor]) one.use({ bundles: now })
      child.send({ bundles: messageOf(now) })
    }
    const rollOver = async () => {
      while (!stop.signal.aborted) {
        await sleep(500 + random() * 1_500)
        world.prepare()
        share()
        await sleep(1_500)
        world.activate()
        stranger.use({ svid: world.svid(ids.stranger) })
        child.send({ stranger: pemOf(world.svid(ids.stranger)) })
        // Longer than the age that gRPC connections reach.
        await sleep(5_000)
        world.retire()
        share()
      }
    }
    const callers = Object.fromEntries(
      Object.keys(clients).map((kind) => [kind, clients[kind](source, ids.service, ports[serverOf[kind]], 'caller')]),
    )
    const work = async (kind) => {
      const { call } = callers[kind]
      while (!stop.signal.aborted) {
        try {
          await call()
          counts.answered[kind] = (counts.answered[kind] ?? 0) + 1
        } catch (error) {
          counts.failed++
          const reason = `${kind}: ${codeOf(error)} ${error.message}`
          counts.failures[reason] = (counts.failures[reason] ?? 0) + 1
        }
        await sleep(random() * pauseMs)
      }
    }
    const intrude = async ({ name, kind, from, port, count }) => {
      while (!stop.signal.aborted) {
        const client = clients[kind](from, ids.service, port, name)
        try {
          await client.call()
          counts[count]++
        } catch (error) {
          const reason = `${name}, ${kind}: ${codeOf(error)}`
          counts.refused[reason] = (counts.refused[reason] ?? 0) + 1
        }
        await client.close()
        await sleep(1_500 + random() * 2_000)
      }
    }
    const intruders = Object.keys(clients).flatMap((kind) => [
      { name: 'stranger calls', kind, from: stranger, port: ports[serverOf[kind]], count: 'wronglyAdmitted' },
      { name: 'impostor calls', kind, from: impostor, port: ports[serverOf[kind]], count: 'wronglyAdmitted' },
      { name: 'stranger answers', kind, from: source, port: ports.stranger, count: 'wronglyBelieved' },
      { name: 'impostor answers', kind, from: source, port: ports.impostor, count: 'wronglyBelieved' },
    ])
    const running = [rollOver(), ...workload.map(work), ...intruders.map(intrude)]

    const samples = []
    const begin = performance.now()
    const elapsed = () => (performance.now() - begin) / 1000
    const everySeconds = Math.max(1, seconds / samplesWanted)
    for (let due = everySeconds; due <= seconds; due += everySeconds) {
      await sleep(Math.max(0, (due - elapsed()) * 1000), undefined, { signal: gone.signal })
      const { counts: seen, ...service } = await ask({ sample: true })
      samples.push({ seconds: Math.round(elapsed()), rotations, callers: await measure(), service, seen })
      if (samples.length % 5 === 0) log(line(samples.at(-1), counts))
    }
    stop.abort()
    await Promise.all(running)
    for (const { close } of Object.values(callers)) await close()
    clearInterval(rotation)
    return judge({ seconds, seed, samples, counts, rotations, rollOvers: world.rollOvers, listeners: source.listeners })
  } finally {
    stop.abort()
    child.removeAllListeners('exit')
    child.kill('SIGKILL')
  }
}

function judge({ seconds, seed, samples, counts, rotations, rollOvers, listeners }) {
  const violations = []
  const expect = (holds, text) => holds || violations.push(text)
  const flat = {}
  for (const who of ['callers', 'service'])
    for (const [name, limit] of Object.entries(allowed)) {
      const series = samples.map((sample) => ({ at: sample.rotations, value: sample[who][name] }))
      const { summary, violation } = judgeFlat(`${name} of the ${who}`, series, limit)
      flat[`${who}.${name}`] = summary
      expect(!violation, violation)
    }
  const seen = samples.at(-1).seen
  const wronglyAdmitted = counts.wronglyAdmitted + seen.wronglyAdmitted
  const wronglyBelieved = counts.wronglyBelieved + seen.wronglyBelieved
  expect(wronglyAdmitted === 0, `${wronglyAdmitted} requests of intruders were admitted`)
  expect(wronglyBelieved === 0, `${wronglyBelieved} requests went to pretenders`)
  for (const [reason, times] of Object.entries(counts.failures)) violations.push(`${times} requests failed: ${reason}`)
  for (const kind of Object.keys(clients)) {
    const answered = counts.answered[kind] ?? 0
    expect(answered > seconds * 2, `${answered} requests by ${kind} are too few`)
    for (const who of ['stranger calls', 'impostor calls', 'stranger answers', 'impostor answers']) {
      const attempts = Object.entries(counts.refused).filter(([reason]) => reason.startsWith(`${who}, ${kind}:`))
      const refused = attempts.reduce((sum, [, times]) => sum + times, 0)
      expect(refused > seconds / 15, `${who}, ${kind}: ${refused} attempts are too few`)
    }
  }
  // Far fewer than were asked for: a machine that is busy with other things takes its time between two rotations.
  expect(rotations > seconds * 5, `${rotations} rotations in ${seconds} s are too few`)
  expect(seen.rotations > seconds * 2, `${seen.rotations} rotations of the servers in ${seconds} s are too few`)
  expect(rollOvers > seconds / 20, `${rollOvers} roll-overs in ${seconds} s are too few`)
  expect(listeners === 0, `${listeners} listeners were left on the source of the callers`)
  const { answered, failed, refused } = counts
  const requests = Object.values(answered).reduce((sum, times) => sum + times, 0)
  const kept = samples.map(({ seconds, rotations, callers, service }) => ({ seconds, rotations, callers, service }))
  const rotated = { callers: rotations, service: seen.rotations }
  const summary = { requests, failed, wronglyAdmitted, wronglyBelieved, rotations: rotated, rollOvers }
  return { violations, seconds, seed, ...summary, answered, refused, flat, samples: kept }
}

function line({ seconds, rotations, callers, service }, { answered, failed, wronglyAdmitted }) {
  const mib = ({ heap, rss }) => `heap ${(heap / mebibyte).toFixed(1)} rss ${(rss / mebibyte).toFixed(0)} MiB`
  const requests = Object.values(answered).reduce((sum, times) => sum + times, 0)
  return (
    `${seconds} s: ${rotations} rotations, ${requests} requests, ${failed} failed, ${wronglyAdmitted} wrongly admitted, ` +
    `callers ${mib(callers)}, service ${mib(service)}`
  )
}
