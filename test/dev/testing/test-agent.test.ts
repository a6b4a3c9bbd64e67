import { existsSync } from 'node:fs'
import { status } from '@grpc/grpc-js'
import { expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../../../src/dev/testing/index.js'
import { WorkloadApiClient } from '../../../src/workload-api/index.js'

const start = (options = {}) => TestAgent.start({ after: onTestFinished, ...options })

function connect(endpoint: string): WorkloadApiClient {
  const client = new WorkloadApiClient({ endpoint })
  onTestFinished(() => client.close())
  return client
}

/** What one fetch comes to: the serial number, or the code of the error. */
async function fetchFrom(endpoint: string): Promise<string> {
  try {
    const { defaultSvid } = await connect(endpoint).fetchX509Context({ timeoutMs: 2_000 })
    return defaultSvid.serialNumber
  } catch (error) {
    return (error as { code: string }).code
  }
}

test('start() alone gives an agent with one workload', async () => {
  const agent = await start()
  const { defaultSvid, bundles } = await connect(agent.endpoint).fetchX509Context()
  expect(defaultSvid.id.toString()).toBe('spiffe://example.org/workload')
  expect([...bundles]).toEqual([agent.bundle])
})

test('rotate() is there for the next fetch', async () => {
  const agent = await start()
  const before = await fetchFrom(agent.endpoint)
  await agent.rotate()
  expect(await fetchFrom(agent.endpoint)).not.toBe(before)
})

test('withdraw() denies and restore() serves, on every socket', async () => {
  const agent = await start({ workloads: ['spiffe://example.org/a', 'spiffe://example.org/b'] })
  const endpoints = agent.workloads.map(({ endpoint }) => endpoint)
  agent.withdraw()
  for (const endpoint of endpoints) expect(await fetchFrom(endpoint)).toBe('ERR_WORKLOAD_API_DENIED')
  await agent.restore()
  for (const [index, endpoint] of endpoints.entries()) {
    expect(await fetchFrom(endpoint)).toBe(agent.workloads[index]!.svid.serialNumber)
  }
})

for (const [what, act, code] of [
  ['deny(UNAVAILABLE)', (agent) => agent.deny(status.UNAVAILABLE), 'ERR_WORKLOAD_API_UNAVAILABLE'],
  ['deny(INVALID_ARGUMENT)', (agent) => agent.deny(status.INVALID_ARGUMENT), 'ERR_WORKLOAD_API_REFUSED'],
  ['sendRaw() of rubbish', (agent) => agent.sendRaw(Buffer.from([0x0a, 0x64])), 'ERR_WORKLOAD_API_RESPONSE_INVALID'],
  [
    'rewrite() to no SVID',
    (agent) => agent.rewrite((_method, message) => ({ ...message, svids: [] })),
    'ERR_WORKLOAD_API_RESPONSE_INVALID',
  ],
] as const satisfies readonly (readonly [string, (agent: TestAgent) => void, string])[]) {
  test(`${what} is met with ${code}, and behave() ends it`, async () => {
    const agent = await start()
    act(agent)
    expect(await fetchFrom(agent.endpoint)).toBe(code)
    agent.behave()
    expect(await fetchFrom(agent.endpoint)).toBe(agent.workloads[0]!.svid.serialNumber)
  })
}

test('stall() holds a call until behave()', async () => {
  const agent = await start()
  agent.stall()
  const held = fetchFrom(agent.endpoint)
  await expect.poll(() => agent.workloads[0]!.steering.openStreams).toBe(1)
  agent.behave()
  expect(await held).toBe(agent.workloads[0]!.svid.serialNumber)
})

test('die() is met with ERR_WORKLOAD_API_UNAVAILABLE, and comeBack() ends it', async () => {
  const agent = await start()
  await agent.die()
  expect(await fetchFrom(agent.endpoint)).toBe('ERR_WORKLOAD_API_UNAVAILABLE')
  await agent.comeBack()
  expect(await fetchFrom(agent.endpoint)).toBe(agent.workloads[0]!.svid.serialNumber)
})

test('federateWith() takes another test agent', async () => {
  const agent = await start()
  const partner = await start({ trustDomain: 'partner.example' })
  agent.federateWith(partner)
  const { bundles } = await connect(agent.endpoint).fetchX509Context()
  expect([...bundles].map(({ trustDomain }) => trustDomain.name).sort()).toEqual(['example.org', 'partner.example'])
})

test('advance() moves the clock that certificates are dated by and rotates what is due', async () => {
  const agent = await start({ svidTtlMs: 600_000 })
  const [workload] = agent.workloads
  const before = workload!.svid
  await agent.advance(299_000)
  expect(workload!.svid).toBe(before)
  await agent.advance(2_000)
  expect(workload!.svid.expiresAt.getTime() - before.expiresAt.getTime()).toBeGreaterThan(299_000)
})

test('with the clock set back, SVIDs arrive expired', async () => {
  const agent = await start({ svidTtlMs: 600_000 })
  await agent.advance(-3_600_000)
  await agent.rotate()
  expect(agent.workloads[0]!.svid.isExpired()).toBe(true)
})

test('the clean-up that it registers closes it, and `await using` does too', async () => {
  const cleanUps: (() => Promise<void>)[] = []
  const registered = await TestAgent.start({ after: (cleanUp) => cleanUps.push(cleanUp) })
  const path = registered.endpoint.replace('unix://', '')
  expect(existsSync(path)).toBe(true)
  for (const cleanUp of cleanUps) await cleanUp()
  expect(existsSync(path)).toBe(false)

  let second: string
  {
    await using agent = await TestAgent.start()
    second = agent.endpoint.replace('unix://', '')
    expect(existsSync(second)).toBe(true)
  }
  expect(existsSync(second)).toBe(false)
})
