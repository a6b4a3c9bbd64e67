// From a new identity to the end of the first handshake that shows it, in milliseconds; both sides in this process.
import { once } from 'node:events'
import { connect, createServer } from 'node:tls'
import { X509Source } from 'authsec-sdk'
import { attachSpiffeToServer, createTlsOptionsForClient, createTlsOptionsForServer } from 'authsec-sdk/tls'
import { interleave, judgeAtMost, summarize } from '../statistics.mjs'
import { makeMessages, startScriptedAgent } from '../workload-api/scripted-agent.mjs'
import { clientId, closeLater, listen, secondsSince, serverId, sourceOf, svidOf } from './world.mjs'

const perSample = 10
const longestMs = 10

export async function measurePush({ rounds }) {
  const baseline = 'a handshake without a rotation'
  const replaced = 'from a new SVID in the source to the end of a handshake with it'
  const pushed = "from the agent's message to the end of a handshake with its SVID"
  const source = sourceOf(serverId)
  const handshake = await startServer(source, sourceOf(clientId), { clientId, serverId })
  const samples = await interleave(
    {
      [baseline]: () => mean(() => timed(() => handshake())),
      [replaced]: () => {
        const next = Array.from({ length: perSample }, () => svidOf(serverId))
        return mean(() => timed(() => (source.use({ svid: next.pop() }), handshake())))
      },
      [pushed]: await followAgent(perSample * (rounds + 1) + 1),
    },
    rounds,
  )
  const rows = summarize(samples, baseline)
  const notes = [replaced, pushed].map((name) => judgeAtMost(name, rows[name].interval, longestMs, 'ms'))
  return { title: 'push', unit: 'ms', baseline, rows, notes }
}

/** A server and a client of one workload, on one source that follows an agent: both sides rotate. */
async function followAgent(count) {
  // None comes twice: it would be proved already.
  const messages = await makeMessages(count)
  let stream
  const send = () => stream.write(messages.pop())
  const agent = await startScriptedAgent((call) => {
    stream = call
    send()
  })
  closeLater(() => agent.close())
  const source = await X509Source.open({ endpoint: agent.endpoint })
  closeLater(() => source.close())
  const { id } = source.getX509Svid()
  const handshake = await startServer(source, source, { clientId: id, serverId: id })
  let updated = () => undefined
  source.onUpdate(() => updated())
  return () =>
    mean(() =>
      timed(async () => {
        const update = new Promise((resolve) => (updated = resolve))
        send()
        await update
        await handshake()
      }),
    )
}

/** Returns what connects once and checks that the newest SVID is shown. */
async function startServer(source, callers, ids) {
  const server = createServer({ noDelay: true, ...createTlsOptionsForServer(source) }, (socket) =>
    socket.on('error', () => undefined).end('in'),
  )
  attachSpiffeToServer(server, source, { authorize: ids.clientId })
  const port = await listen(server)
  const options = { host: '127.0.0.1', port, ...createTlsOptionsForClient(callers, { authorize: ids.serverId }) }
  return async () => {
    const socket = connect(options)
    // The server speaks once it has proved the client.
    await once(socket, 'data')
    const shown = socket.getPeerX509Certificate().serialNumber.toLowerCase()
    socket.destroy()
    const { serialNumber } = source.getX509Svid()
    if (shown !== serialNumber) throw new Error('the handshake showed an old identity')
  }
}

async function timed(work) {
  const begin = process.hrtime.bigint()
  await work()
  return secondsSince(begin) * 1000
}

async function mean(sample) {
  let sum = 0
  for (let at = 0; at < perSample; at++) sum += await sample()
  return sum / perSample
}
