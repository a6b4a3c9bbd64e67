// Every kind of client against every kind of server, both with a new SVID every 20 ms and an authority that is replaced
// every few seconds, while a stranger and an impostor keep trying on both sides.
import { fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { measure, processorShare, processorTime } from '../measure.mjs'
import { randomFrom } from '../random.mjs'
import { clients, codeOf } from './clients.mjs'
import { conversationWith } from './conversation.mjs'
import { LiveSource } from './live-source.mjs'
import { judge, line } from './verdict.mjs'
import { ids, messageOf, World } from './world.mjs'

const samplesWanted = 60
const rotateEveryMs = 20
/** How long a new authority is trusted before it issues, and the old one at least after it has stopped. */
const overlapMs = { before: 1_000, after: 2_000 }
const workersPerKind = 8
/** Longest pause of a worker between two requests. */
const pauseMs = 500
/** undici serves its own functions and the global fetch; half of its workers use each. */
const workload = [
  ...['https', 'http2', 'grpc', 'tls'].flatMap((kind) => Array(workersPerKind).fill(kind)),
  ...['undici', 'fetch'].flatMap((kind) => Array(workersPerKind / 2).fill(kind)),
]
const serverOf = { https: 'https', undici: 'https', fetch: 'https', http2: 'http2', grpc: 'grpc', tls: 'tls' }
const kinds = Object.keys(clients)

export async function soak({ seconds, seed, log }) {
  const random = randomFrom(seed)
  const world = new World()
  const bundles = world.bundles()
  const source = new LiveSource({ svid: world.svid(ids.caller), bundles })
  const stranger = new LiveSource({ svid: world.svid(ids.stranger), bundles })
  const impostor = new LiveSource({ svid: world.forged(ids.caller), bundles })
  const child = fork(fileURLToPath(new URL('service.mjs', import.meta.url)), [
    JSON.stringify({
      svid: world.svidPem(ids.service),
      bundles: messageOf(bundles),
      callerId: ids.caller,
      stranger: world.svidPem(ids.stranger),
      impostor: world.forgedPem(ids.service),
    }),
  ])
  const ask = conversationWith(child)
  const stop = new AbortController()
  try {
    const { ports } = await ask({ ports: true })
    const counts = {
      answered: {},
      failed: 0,
      failures: {},
      refused: {},
      slowestMs: {},
      wronglyAdmitted: 0,
      wronglyBelieved: 0,
    }
    let rotations = 0
    const rotateCallers = () => {
      source.use({ svid: world.svid(ids.caller) })
      rotations++
    }
    const rotateServers = () => ask({ svid: world.svidPem(ids.service) })
    const rotate = async (turn) => {
      while (!stop.signal.aborted) {
        // The next one is due when 20 ms are over and this one is taken, so that none waits in a queue.
        await Promise.all([turn(), sleep(rotateEveryMs)])
      }
    }
    const share = () => {
      const now = world.bundles()
      for (const one of [source, stranger, impostor]) one.use({ bundles: now })
      return ask({ bundles: messageOf(now) })
    }
    let rollOvers = 0
    const rollOver = async () => {
      while (!stop.signal.aborted) {
        await sleep(500 + random() * 1_000)
        world.prepare()
        await share()
        await sleep(overlapMs.before)
        world.activate()
        rotateCallers()
        stranger.use({ svid: world.svid(ids.stranger) })
        await ask({ svid: world.svidPem(ids.service), stranger: world.svidPem(ids.stranger) })
        // An agent has hours for it. Here the old authority goes as soon as no connection needs it any more, however
        // long a busy machine takes.
        await Promise.all([
          sleep(overlapMs.after),
          Promise.race([ask({ drained: true }), sleep(20_000, undefined, { ref: false })]),
        ])
        world.retire()
        await share()
        rollOvers++
      }
    }
    const newCaller = (kind) => clients[kind](source, ids.service, ports[serverOf[kind]], 'caller')
    // A gRPC client has one connection for as long as the server lets it, so there each worker has its own.
    const clientsOf = (kind) => Array.from({ length: kind === 'grpc' ? workersPerKind : 1 }, () => newCaller(kind))
    const callers = Object.fromEntries(kinds.map((kind) => [kind, clientsOf(kind)]))
    const work = async (kind, worker) => {
      const { call } = callers[kind][worker % callers[kind].length]
      while (!stop.signal.aborted) {
        const begin = performance.now()
        try {
          await call()
          counts.answered[kind] = (counts.answered[kind] ?? 0) + 1
        } catch (error) {
          counts.failed++
          const reason = `${kind}: ${codeOf(error)} ${error.message}`
          counts.failures[reason] = (counts.failures[reason] ?? 0) + 1
        }
        counts.slowestMs[kind] = Math.max(counts.slowestMs[kind] ?? 0, Math.ceil(performance.now() - begin))
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
    const intruders = kinds.flatMap((kind) => [
      { name: 'stranger calls', kind, from: stranger, port: ports[serverOf[kind]], count: 'wronglyAdmitted' },
      { name: 'impostor calls', kind, from: impostor, port: ports[serverOf[kind]], count: 'wronglyAdmitted' },
      { name: 'stranger answers', kind, from: source, port: ports.stranger, count: 'wronglyBelieved' },
      { name: 'impostor answers', kind, from: source, port: ports.impostor, count: 'wronglyBelieved' },
    ])
    const rotating = [rotate(rotateCallers), rotate(rotateServers), rollOver()]
    const running = [...rotating, ...workload.map(work), ...intruders.map(intrude)]

    const times = async () => ({
      callers: processorTime(),
      service: (await ask({ processorTime: true })).processorTime,
    })
    const atBegin = await times()
    const samples = []
    const begin = performance.now()
    const elapsed = () => (performance.now() - begin) / 1000
    const everySeconds = Math.max(2, seconds / samplesWanted)
    for (let due = everySeconds; due <= seconds; due += everySeconds) {
      await sleep(Math.max(0, (due - elapsed()) * 1000))
      const { sample: service } = await ask({ sample: true })
      samples.push({ seconds: Math.round(elapsed()), rotations, callers: await measure(), service })
      if (samples.length % 5 === 0) log(line(samples.at(-1), counts))
    }
    const atEnd = await times()
    stop.abort()
    await Promise.all(running)
    for (const { close } of Object.values(callers).flat()) await close()
    // gRPC lets go of a connection some time after the client has closed.
    for (let tries = 0; source.listeners > 0 && tries < 100; tries++) await sleep(100)
    const processor = Object.fromEntries(
      ['callers', 'service'].map((who) => [
        who,
        {
          seconds: Math.round(atEnd[who].ran - atBegin[who].ran),
          share: processorShare(atBegin[who], atEnd[who]),
        },
      ]),
    )
    const { listeners } = source
    return judge({ seconds, seed, kinds, samples, counts, rotations, rollOvers, listeners, processor })
  } finally {
    stop.abort()
    child.kill('SIGKILL')
  }
}
