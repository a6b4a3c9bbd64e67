// Requests on connections that stay, with authorization and without. Each server has a process of its own, and the client
// is so lean that the server is what limits.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { interleave, judge, summarize } from '../statistics.mjs'
import { anyName, bundles, clientId, closeLater, nativeIdentity, secondsSince, serverId, svidOf } from './world.mjs'

/**
 * V8 makes the young generation as large as what happened to survive the start of a process, and a fifth of the CPU that a
 * request costs hangs on that; so every server gets the same.
 */
const youngGeneration = ['--min-semi-space-size=16', '--max-semi-space-size=16']
const connections = 16
const sampleMs = 1_000
const request = Buffer.from('GET / HTTP/1.1\r\nhost: bench.test\r\n\r\n')
const program = fileURLToPath(new URL('keep-alive-server.mjs', import.meta.url))
const baseline = 'no authorization'

/** @param kinds - What `keep-alive-server.mjs` calls a server, by what the table calls it; one is the baseline. */
export async function measureKeepAlive(title, kinds, { rounds }) {
  const candidates = {}
  const cpu = {}
  for (const [name, kind] of Object.entries(kinds)) {
    const server = await startServer(kind)
    const load = await startLoad(server.port)
    cpu[name] = []
    candidates[name] = async () => {
      const [before, begin] = [await server.cpuMicroseconds(), process.hrtime.bigint()]
      const done = await load(sampleMs)
      const seconds = secondsSince(begin)
      cpu[name].push(((await server.cpuMicroseconds()) - before) / done)
      return done / seconds
    }
  }
  const rows = summarize(await interleave(candidates, rounds), baseline)
  // The first sample of each warms up.
  const cpuRows = summarize(
    Object.fromEntries(Object.entries(cpu).map(([name, all]) => [name, all.slice(1)])),
    baseline,
  )
  const used = Object.entries(cpuRows).map(
    ([name, row]) => `${row.median.toFixed(1)} µs ${name} (ratio ${row.ratio.toFixed(3)})`,
  )
  const goals = Object.keys(rows)
    .filter((name) => name !== baseline)
    .map((name) => judge(name, rows[name].ratioInterval, 0.98))
  const notes = [...goals, `CPU of the server for a request: ${used.join(', ')}`]
  return { title: `keep-alive requests, ${title}`, unit: '1/s', baseline, rows, cpuRows, notes }
}

async function startServer(kind) {
  const child = fork(program, [kind], { execArgv: youngGeneration })
  closeLater(() => child.kill())
  const svid = svidOf(serverId)
  const own = { cert: svid.certificatesPem(), key: svid.privateKeyPem() }
  child.send({ ...own, bundles: bundles.map((bundle) => [bundle.trustDomain.name, bundle.toPem()]), clientId })
  const [{ port }] = await once(child, 'message')
  const cpuMicroseconds = async () => {
    child.send('cpu')
    const [{ user, system }] = await once(child, 'message')
    return user + system
  }
  return { port, cpuMicroseconds }
}

/** One request at a time on each connection. Answers are alike, so they are counted by their length. */
async function startLoad(port) {
  const identity = nativeIdentity(clientId)
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ host: '127.0.0.1', port, ...identity, ...anyName })
      await once(socket, 'secureConnect')
      return socket.setNoDelay()
    }),
  )
  closeLater(() => sockets.forEach((socket) => socket.destroy()))
  const length = (await firstAnswer(sockets[0])).length
  return (ms) =>
    new Promise((resolve, reject) => {
      let [done, over] = [0, false]
      setTimeout(() => (over = true), ms)
      const waiting = new Set(sockets)
      for (const socket of sockets) {
        let received = 0
        const onClose = () => reject(new Error('the server closed a connection'))
        const onData = (chunk) => {
          received += chunk.length
          if (received < length) return
          if (received > length) reject(new Error('an answer was longer than the first'))
          received = 0
          done++
          if (!over) {
            socket.write(request)
            return
          }
          socket.off('data', onData).off('close', onClose)
          waiting.delete(socket)
          if (waiting.size === 0) resolve(done)
        }
        socket.on('data', onData).on('close', onClose)
        socket.write(request)
      }
    })
}

async function firstAnswer(socket) {
  socket.write(request)
  let text = ''
  while (!text.endsWith('\r\n\r\nin')) text += (await once(socket, 'data'))[0].toString('latin1')
  if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`the server answered ${text.slice(0, 12)}`)
  return text
}
