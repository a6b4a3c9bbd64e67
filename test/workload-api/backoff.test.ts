import { expect, onTestFinished, test } from 'vitest'
import { delayAfter, type Failure } from '../../src/workload-api/backoff.js'
import { WorkloadApiClient, type WatchEvent } from '../../src/workload-api/index.js'
import { ScriptedAgent } from './scripted-agent.js'

const failure: Failure = { kind: 'transient', attempt: 3, waitedMs: 100, endpoint: 'unix' }

for (const delayMs of [0, 12.5, Infinity])
  test(`a strategy that says ${delayMs} is followed`, () =>
    expect(delayAfter(failure, () => delayMs)).toEqual({ delayMs }))

for (const said of [NaN, -1, '5', undefined])
  test(`a strategy that says ${String(said)} is not followed, and that is told`, () => {
    const { delayMs, warning } = delayAfter(failure, () => said as number)
    expect(delayMs).toBeGreaterThanOrEqual(100)
    expect(warning).toContain('backoff')
  })

test('a watch whose strategy says no number goes on with the default and warns', async () => {
  const agent = await ScriptedAgent.prepare()
  onTestFinished(() => agent.close())
  const client = new WorkloadApiClient({ endpoint: agent.endpoint, backoff: () => NaN })
  onTestFinished(() => client.close())
  const events: WatchEvent[] = []
  client.followX509Context({
    onValue: () => undefined,
    onStop: () => undefined,
    onEvent: (event) => events.push(event),
  })
  await expect.poll(() => events.map(({ type }) => type).slice(0, 3)).toEqual(['connecting', 'warning', 'retry'])
  const [retry] = events.filter((event) => event.type === 'retry')
  expect(retry?.delayMs).toBeGreaterThanOrEqual(50)
})
