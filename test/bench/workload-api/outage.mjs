// How soon an identity is there again after 20 s without an agent, and after 10 s without an entry. All of it goes through
// the same rounds at the same time: while one waits, the others do.
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { X509Source } from 'authsec-sdk'
import { TestAgent } from 'authsec-sdk/testing'
import { interval, median, summarize } from '../statistics.mjs'

const outageMs = 20_000
/** Between the begins of two rounds, so that nothing of them falls together. */
const apartMs = 700
const noEntryMs = 10_000

const schema = loadSync(fileURLToPath(new URL('../../../proto/workload.proto', import.meta.url)))
const { SpiffeWorkloadAPI } = loadPackageDefinition(schema)

/** What grpc-js does by itself: one channel, and a stream that is opened anew whenever it ends. */
function followByGrpc(endpoint, onMessage) {
  const client = new SpiffeWorkloadAPI(endpoint, credentials.createInsecure())
  const metadata = new Metadata({ waitForReady: true })
  metadata.set('workload.spiffe.io', 'true')
  let closed = false
  const open = () => {
    if (closed) return
    const call = client.FetchX509SVID({}, metadata)
    call.on('data', onMessage)
    call.on('error', () => undefined)
    call.on('status', open)
  }
  open()
  return () => {
    closed = true
    client.close()
  }
}

const names = ['new', 'left', 'byGrpc', 'late', 'recreated']

async function round() {
  const agent = await TestAgent.start({ workloads: names.map((name) => `spiffe://example.org/${name}`) })
  const workloads = Object.fromEntries(agent.workloads.map((workload) => [workload.id.path.slice(1), workload]))
  const closing = []
  const open = async (name) => {
    const source = await X509Source.open({ endpoint: workloads[name].endpoint })
    closing.push(() => source.close())
    return source
  }
  /** Milliseconds from the start of `begin` to the source's next update. */
  const time = async (subscribe, begin) => {
    const updated = new Promise((resolve) => subscribe(() => resolve(performance.now())))
    const begun = performance.now()
    await begin()
    return (await updated) - begun
  }
  try {
    const [anew, left, recreated] = [await open('new'), await open('left'), await open('recreated')]
    let onMessage
    const first = new Promise((resolve) => (onMessage = resolve))
    closing.push(followByGrpc(workloads.byGrpc.endpoint, () => onMessage()))
    await first

    await Promise.all([
      workloads.new.steering.die(),
      workloads.byGrpc.steering.die(),
      workloads.left.steering.die({ leaveFile: true }),
    ])
    workloads.recreated.withdraw()
    workloads.late.withdraw()
    const late = X509Source.start({ endpoint: workloads.late.endpoint })
    closing.push(() => late.close())

    await delay(noEntryMs)
    const entries = Promise.all([
      time(
        (done) => late.once('update', done),
        () => workloads.late.restore(),
      ),
      time(
        (done) => recreated.once('update', done),
        () => workloads.recreated.restore(),
      ),
    ])
    await delay(outageMs - noEntryMs)
    const [whenNew, whenLeft, whenGrpc] = await Promise.all([
      time(
        (done) => anew.once('update', done),
        async () => {
          await workloads.new.rotate()
          await workloads.new.steering.comeBack()
        },
      ),
      time(
        (done) => left.once('update', done),
        async () => {
          await workloads.left.rotate()
          await workloads.left.steering.comeBack()
        },
      ),
      time(
        (done) => (onMessage = done),
        () => workloads.byGrpc.steering.comeBack(),
      ),
    ])
    const [whenLate, whenRecreated] = await entries
    return { whenNew, whenLeft, whenGrpc, whenLate, whenRecreated }
  } finally {
    for (const close of closing) await close()
    await agent.close()
  }
}

const seconds = (ms) => `${(ms / 1000).toFixed(3)} s`

export async function measureOutage({ rounds }) {
  // One after the other they would take as many times the two minutes after which grpc-js may try again.
  const all = await Promise.all(Array.from({ length: rounds }, (_, index) => delay(index * apartMs).then(round)))
  const column = (name) => all.map((it) => it[name])
  const baseline = 'grpc-js reconnects by itself'
  const samples = {
    [baseline]: column('whenGrpc'),
    'X509Source, socket file anew': column('whenNew'),
    'X509Source, socket file left': column('whenLeft'),
    'X509Source, entry 10 s late': column('whenLate'),
    'X509Source, entry recreated': column('whenRecreated'),
  }
  const worst = Object.entries(samples).map(([name, values]) => `${name} ${seconds(Math.max(...values))}`)
  return {
    name: 'workload-api: identity again after an outage of 20 s, an entry that is missing for 10 s',
    unit: 'ms',
    baseline,
    rows: summarize(samples, baseline),
    notes: [
      `socket back: median ${seconds(median([...column('whenNew'), ...column('whenLeft')]))} (required: at most 0.5 s)`,
      `entry there: median ${seconds(median([...column('whenLate'), ...column('whenRecreated')]))}, ` +
        `95 % ${interval([...column('whenLate'), ...column('whenRecreated')])
          .map(seconds)
          .join(' – ')} (required: at most 1 s)`,
      `longest: ${worst.join(', ')}`,
    ],
  }
}
