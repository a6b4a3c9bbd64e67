import { beforeAll, expect, test } from 'vitest'
import { X509Source } from '../../src/index.js'
import { keepUntilEnd } from './keep-until-end.js'
import { nodeNamed } from './node-named.js'
import { type SpireAgent, SpireServer } from './spire/cluster.js'
import { type Call, Workload } from './workload.js'

const td = 'spiffe://example.org'
const [web, late] = [`${td}/web`, `${td}/late`]
const ways = ['https', 'fetch', 'undici'] as const

const keep = keepUntilEnd()
let server: SpireServer
let agent: SpireAgent
let binaries: { web: string; late: string }
let a: Workload
let b: Workload
let entry: string

// One story: each test goes on where the one before it ended.
beforeAll(async () => {
  server = await keep(SpireServer.start({ trustDomain: 'example.org' }))
  binaries = { web: await nodeNamed('web', server.dir), late: await nodeNamed('late', server.dir) }
  await server.createEntry({ spiffeId: web, selectors: [`unix:path:${binaries.web}`] })
  agent = await server.agent({ name: 'agent' })
  a = await keep(Workload.start({ endpoint: agent.endpoint, binary: binaries.web, authorize: 'any' }))
})

const register = () => server.createEntry({ spiffeId: late, selectors: [`unix:path:${binaries.late}`] })
const toLate = (via: Call['via']): Call => ({ via, url: b.url, authorize: late, fresh: true })
const fromLate = (via: Call['via']): Call => ({ via, url: a.url, authorize: web, fresh: true })

test('a workload that nobody registered is told so when its time is over', async () => {
  const opening = X509Source.open({ endpoint: agent.endpoint, initialTimeoutMs: 500 })
  await expect(opening).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 })
})

test('a workload that waits for its entry gets its identity soon after the agent can issue it', async () => {
  b = await keep(Promise.resolve(Workload.spawn({ endpoint: agent.endpoint, binary: binaries.late })))
  await b.event('retry', { kind: 'denied' })
  await using probe = Workload.spawn({ endpoint: agent.endpoint, binary: binaries.late, program: 'probe.mjs' })
  entry = await register()
  const registeredAt = Date.now()
  const [issued, ready] = await Promise.all([probe.event('issued'), b.ready()])

  expect(ready).toMatchObject({ spiffeId: late, pid: b.pid })
  const arrived = await b.event('state', { state: 'ready' })
  const waited = arrived.at - b.events('retry')[0]!.at
  const delay = arrived.at - issued.at
  // It asks again after a tenth of what it has waited already; the rest is for a busy machine.
  expect(delay).toBeLessThan(waited / 10 + 1_000)
  console.log(
    `registration: identity ${arrived.at - registeredAt} ms after the entry was created, ` +
      `${delay} ms after the agent first issued it (waited ${waited} ms), in use ${ready.at - arrived.at} ms later`,
  )
  for (const via of ways) {
    expect(await a.call(toLate(via))).toMatchObject({ status: 200, body: { by: late, caller: web } })
    expect(await b.call(fromLate(via))).toMatchObject({ status: 200, body: { by: web, caller: late } })
  }
})

test('its entry is deleted: the SVID is withdrawn within 5 s and new connections are refused', async () => {
  const since = Date.now()
  await server.deleteEntry(entry)
  const deletedAt = Date.now()
  const withdrawn = await b.event('withdrawn', { since })
  expect(withdrawn.at - since).toBeLessThan(5_000)
  expect(withdrawn).toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 })
  expect(await b.ask('status')).toMatchObject({ ready: false, source: { state: 'withdrawn' } })

  for (const via of ways) {
    await expect(a.call(toLate(via)), `${via} to it`).rejects.toHaveProperty('code', expect.stringMatching(refused))
    await expect(b.call(fromLate(via)), `${via} from it`).rejects.toMatchObject({ code: 'ERR_SVID_WITHDRAWN' })
  }
  await b.event('rejected', { since, code: 'ERR_SVID_WITHDRAWN' })
  console.log(`registration: withdrawn ${withdrawn.at - deletedAt} ms after the entry was deleted`)
})

/** How a client sees a server that has nothing to show: an alert, or the end of the connection. */
const refused = /^(EPROTO|ECONNRESET|ERR_SSL_\w+|UND_ERR_SOCKET)$/

test('it is registered again: the same process is restored', async () => {
  const since = Date.now()
  await register()
  const registeredAt = Date.now()
  const restored = await b.event('restored', { since })
  expect(await b.ask('status')).toMatchObject({ ready: true, source: { state: 'ready' } })
  for (const via of ways) {
    expect(await a.call(toLate(via))).toMatchObject({ status: 200, body: { by: late, caller: web } })
    expect(await b.call(fromLate(via))).toMatchObject({ status: 200, body: { by: web, caller: late } })
  }
  console.log(`registration: restored ${restored.at - registeredAt} ms after the entry was created again`)
})
