import { expect, onTestFinished, test, vi } from 'vitest'
import { defaultBackoff, delayAfter, type Failure } from '../../src/workload-api/backoff.js'
import { WorkloadApiClient, type WatchEvent } from '../../src/workload-api/index.js'
import { ScriptedAgent } from './scripted-agent.js'

const failure: Failure = { kind: 'transient', attempt: 3, waitedMs: 100, endpoint: 'unix' }

/** The delay by default where the dice fall so that it is shortest, in the middle, and longest. */
function spread(failure: Failure): number[] {
  const random = vi.spyOn(Math, 'random')
  onTestFinished(() => random.mockRestore())
  // Math.random() stays below 1; to the microsecond that is no difference.
  return [0, 0.5, 1].map((dice) => {
    random.mockReturnValue(dice)
    return Math.round(defaultBackoff(failure) * 1000) / 1000
  })
}

const doubling = [
  [0, [100, 100, 100]],
  [1, [100, 150, 200]],
  [3, [400, 600, 800]],
  [6, [3_200, 4_800, 6_400]],
  [7, [5_000, 7_500, 10_000]],
  [1000, [5_000, 7_500, 10_000]],
] as const

// A kind of failure, where the agent is, and delays [shortest, middle, longest] by the number of failures before it.
for (const [kind, endpoints, delays] of [
  [
    'unreachable',
    ['unix'],
    [
      [0, [50, 50, 50]],
      [1, [50, 75, 100]],
      [3, [200, 300, 400]],
      [4, [250, 375, 500]],
      [1000, [250, 375, 500]],
    ],
  ],
  ['unreachable', ['tcp'], doubling],
  ['transient', ['unix', 'tcp'], doubling],
  // The first time at once; then as every other failure, one later.
  ['ended', ['unix', 'tcp'], [[0, [0, 0, 0]], ...doubling.map(([attempt, ms]) => [attempt + 1, ms] as const)]],
] as const)
  for (const endpoint of endpoints)
    for (const [attempt, expected] of delays)
      test(`by default a stream is opened ${expected.join(', ')} ms after ${attempt + 1} × ${kind} (${endpoint})`, () =>
        // How long it took to fail says nothing here.
        expect([0, 1e9].map((waitedMs) => spread({ kind, attempt, waitedMs, endpoint }))).toEqual([expected, expected]))

for (const endpoint of ['unix', 'tcp'] as const)
  for (const [waitedMs, expected] of [
    [0, [100, 100, 100]],
    [1_000, [100, 100, 100]],
    [2_000, [100, 150, 200]],
    [60_000, [3_000, 4_500, 6_000]],
    [100_000, [5_000, 7_500, 10_000]],
    [1e9, [5_000, 7_500, 10_000]],
  ] as const)
    test(`by default a workload denied for ${waitedMs} ms asks again after ${expected.join(', ')} ms (${endpoint})`, () =>
      // However often it asked in that time.
      expect([0, 1000].map((attempt) => spread({ kind: 'denied', attempt, waitedMs, endpoint }))).toEqual([
        expected,
        expected,
      ]))

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
