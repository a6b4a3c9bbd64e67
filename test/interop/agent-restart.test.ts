import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { keepUntilEnd } from './keep-until-end.js'
import { nodeNamed } from './node-named.js'
import { type SpireAgent, SpireServer } from './spire/cluster.js'
import { everyWayGoesOn, type LoadResult, Workload } from './workload.js'

const td = 'spiffe://example.org'
const [web, payments] = [`${td}/web`, `${td}/payments`]

const keep = keepUntilEnd()
let agent: SpireAgent
let binaries: { web: string; payments: string }
let caller: Workload
let called: Workload

beforeAll(async () => {
  const server = await keep(SpireServer.start({ trustDomain: 'example.org' }))
  binaries = { web: await nodeNamed('web', server.dir), payments: await nodeNamed('payments', server.dir) }
  await server.createEntry({ spiffeId: web, selectors: [`unix:path:${binaries.web}`] })
  await server.createEntry({ spiffeId: payments, selectors: [`unix:path:${binaries.payments}`] })
  agent = await server.agent({ name: 'agent' })
  ;[caller, called] = await Promise.all([
    keep(Workload.start({ endpoint: agent.endpoint, binary: binaries.web, authorize: [payments] })),
    keep(Workload.start({ endpoint: agent.endpoint, binary: binaries.payments, authorize: [web] })),
  ])
})

let since: number
beforeEach(async () => {
  since = Date.now()
  await caller.ask('start load', { url: called.url, authorize: payments })
})

/** No call failed, and nobody's identity was ever in doubt. */
async function expectNothingLost(): Promise<LoadResult> {
  await everyWayGoesOn(caller)
  const load = await caller.ask<LoadResult>('stop load')
  expect(load.failures).toEqual([])
  for (const workload of [caller, called]) {
    for (const trouble of ['withdrawn', 'expired', 'warning', 'rejected']) {
      expect(workload.events(trouble, since)).toEqual([])
    }
    expect(await workload.ask('status')).toMatchObject({ ready: true, health: 'healthy' })
  }
  return load
}

/** When the socket takes connections again, looked at every few milliseconds; a busy machine makes it later. */
async function served(): Promise<number> {
  const path = agent.endpoint.slice('unix://'.length)
  const deadline = Date.now() + 20_000
  for (;;) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(path)
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (answered) return Date.now()
    if (Date.now() > deadline) throw new Error('the agent did not come back')
    await delay(5)
  }
}

/** The delays of both workloads until an update came, in words. */
async function expectNextUpdate(servedAt: number, goneAt: number): Promise<string> {
  const rotated = await Promise.all([caller, called].map((workload) => workload.event('rotated', { since: goneAt })))
  const delays = rotated.map(({ at }) => at - servedAt)
  // Half a second at most between two attempts; then the agent has to make the SVIDs anew.
  for (const ms of delays) expect(ms).toBeLessThan(3_000)
  const attempts = [caller, called].map((workload) => workload.events('retry', goneAt).length)
  return `next update ${delays.join(' and ')} ms after its socket was there (${attempts.join(' and ')} attempts failed)`
}

for (const [how, bringDown] of [
  ['in an orderly way', () => agent.stop()],
  ['without warning', () => agent.kill()],
] as const)
  test(`the agent is ended ${how} and started again: nothing is lost, the next update arrives`, async () => {
    const goneAt = Date.now()
    await bringDown()
    const [servedAt] = await Promise.all([served(), agent.start()])
    const update = await expectNextUpdate(servedAt, goneAt)
    const { servers } = await expectNothingLost()
    // The certificates from after the restart are in use.
    expect(servers).toContain(called.events('rotated', goneAt).at(-1)!['newSerialNumber'])
    console.log(`agent ended ${how}: ${update}`)
  })

test('the agent is away for 20 s: nothing is lost, who starts meanwhile waits, and all have the next update', async () => {
  const goneAt = Date.now()
  await agent.kill()
  await using newcomer = Workload.spawn({ endpoint: agent.endpoint, binary: binaries.web })
  await delay(goneAt + 20_000 - Date.now())
  const [servedAt] = await Promise.all([served(), agent.start()])
  const update = await expectNextUpdate(servedAt, goneAt)
  await newcomer.ready()
  expect(await newcomer.call({ via: 'https', url: called.url, authorize: payments })).toMatchObject({ status: 200 })
  await expectNothingLost()
  for (const workload of [caller, called]) {
    // Told once, not for every attempt, and taken back once.
    expect(workload.events('unavailable', goneAt)).toHaveLength(1)
    expect(workload.events('restored', goneAt)).toHaveLength(1)
  }
  console.log(`agent away for 20 s: ${update}`)
})
