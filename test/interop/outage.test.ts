import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { WorkloadApiClient, X509Source } from '../../src/index.js'
import { keepUntilEnd } from './keep-until-end.js'
import { type SpireAgent, SpireServer } from './spire/cluster.js'

// Ten sources of this process go through the same waits, each with a jitter of its own. Times count from what a client
// without any backoff sees, so that a busy machine or a slow agent is nobody's fault but theirs.

const id = 'spiffe://example.org/patient'
const count = 10
const selectors = [`unix:uid:${process.getuid!()}`]

const keep = keepUntilEnd()
let server: SpireServer
let agent: SpireAgent
let entry: string

// One story: each test goes on where the one before it ended.
beforeAll(async () => {
  server = await keep(SpireServer.start({ trustDomain: 'example.org' }))
  agent = await server.agent({ name: 'agent' })
})

function startSources(): X509Source[] {
  const sources = Array.from({ length: count }, () => X509Source.start({ endpoint: agent.endpoint }))
  onTestFinished(async () => {
    await Promise.all(sources.map((source) => source.close()))
  })
  return sources
}

async function openSources(): Promise<X509Source[]> {
  const sources = startSources()
  await Promise.all(sources.map((source) => source.updates().next()))
  return sources
}

/** The times of the next update of each source, in the order of time. */
function nextUpdates(sources: readonly X509Source[]): Promise<number[]> {
  const updates = sources.map(
    (source) => new Promise<number>((resolve) => source.once('update', () => resolve(performance.now()))),
  )
  return Promise.all(updates).then((times) => times.sort((a, b) => a - b))
}

const median = (sorted: readonly number[]) => (sorted[count / 2 - 1]! + sorted[count / 2]!) / 2
const rounded = (values: readonly number[]) => values.map((value) => Math.round(value)).join(', ')

/** When the agent issues an SVID, to whoever asks as often as is decent. */
async function issued(): Promise<number> {
  for (;;) {
    await using client = new WorkloadApiClient({ endpoint: agent.endpoint })
    const got = await client.fetchX509Context({ timeoutMs: 5_000 }).catch(() => undefined)
    if (got) return performance.now()
    await delay(10)
  }
}

/** When the socket takes connections. */
async function served(): Promise<number> {
  const path = agent.endpoint.slice('unix://'.length)
  for (;;) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(path, () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (answered) return performance.now()
    await delay(5)
  }
}

test('workloads that began 10 s before their entry have their SVID within a second of the first one issued', async () => {
  const sources = startSources()
  const begun = performance.now()
  const updates = nextUpdates(sources)
  await delay(10_000)
  // Asks while the entry is made: the agent may have it before the command that made it has ended.
  const [probed, times, made] = await Promise.all([issued(), updates, server.createEntry({ spiffeId: id, selectors })])
  entry = made
  const first = Math.min(probed, times[0]!)
  const delays = times.map((time) => time - first)
  console.log(`entry 10 s late: SVIDs ${rounded(delays)} ms after the first one issued`)
  expect(median(delays)).toBeLessThan(1_000)
  // Asked again after a tenth of what they have waited; an answer takes its time too.
  expect(delays.at(-1)).toBeLessThan((first - begun) / 10 + 1_000)
  for (const source of sources) expect(source.getX509Svid().id.toString()).toBe(id)
})

test('the same when the entry is deleted, and created again 10 s later; in between there is no SVID', async () => {
  const sources = await openSources()
  const withdrawn = Promise.all(
    sources.map(
      (source) => new Promise<number>((resolve) => source.once('withdrawn', () => resolve(performance.now()))),
    ),
  )
  const deletedAt = performance.now()
  await server.deleteEntry(entry)
  expect(Math.max(...(await withdrawn)) - deletedAt).toBeLessThan(5_000)
  for (const source of sources)
    expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))

  const begun = performance.now()
  const updates = nextUpdates(sources)
  await delay(10_000)
  const [probed, times] = await Promise.all([issued(), updates, server.createEntry({ spiffeId: id, selectors })])
  const first = Math.min(probed, times[0]!)
  const delays = times.map((time) => time - first)
  console.log(`entry recreated after 10 s: SVIDs ${rounded(delays)} ms after the first one issued`)
  expect(median(delays)).toBeLessThan(1_000)
  expect(delays.at(-1)).toBeLessThan((first - begun) / 10 + 1_000)
  for (const source of sources) expect(source.status()).toMatchObject({ state: 'ready', failures: 0 })
})

test('an agent that was killed for 20 s: the SVID stays, and the next one is there half a second after the agent', async () => {
  const sources = await openSources()
  const held = sources.map((source) => source.getX509Svid())
  const lost: unknown[] = []
  for (const source of sources) source.on('withdrawn', (error) => lost.push(error))
  await agent.kill()
  await delay(20_000)
  expect(sources.map((source) => source.getX509Svid().equals(held[sources.indexOf(source)]!))).not.toContain(false)

  const updates = nextUpdates(sources)
  const [back, probed, times] = await Promise.all([served(), issued(), updates, agent.start()])
  const first = Math.min(probed, times[0]!)
  const delays = times.map((time) => time - first)
  console.log(
    `agent killed for 20 s: SVIDs ${rounded(delays)} ms after the first one issued, ` +
      `which was ${Math.round(first - back)} ms after its socket was there`,
  )
  expect(median(delays)).toBeLessThan(500)
  expect(lost).toEqual([])
  for (const source of sources) expect(source.status()).toMatchObject({ state: 'ready', failures: 0 })
})
