import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../../src/dev/testing/index.js'
import { X509Source, type RetryNotice } from '../../src/source/index.js'
import { defaultBackoff } from '../../src/workload-api/index.js'
import { watchOver } from './keeping.js'
import { expectNothingLeft } from './leaks.js'

expectNothingLeft()

// Ten workloads go through the same outage, each with a source and a jitter of its own: ten samples for the wait of one.

const count = 10
let agent: TestAgent

beforeAll(async () => {
  const workloads = Array.from({ length: count }, (_, index) => `spiffe://example.org/w${index}`)
  agent = await TestAgent.start({ workloads })
})

afterAll(() => agent.close())

function startSources(): X509Source[] {
  const sources = agent.workloads.map(({ endpoint }) => X509Source.start({ endpoint }))
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

/** Resolves when every source has failed so often in one way. */
function untilRetried(sources: X509Source[], kind: RetryNotice['kind'], times: number): Promise<unknown> {
  return Promise.all(
    sources.map(
      (source) =>
        new Promise<void>((resolve) => {
          const onRetry = (notice: RetryNotice) => {
            if (notice.kind !== kind || notice.attempt < times) return
            source.off('retry', onRetry)
            resolve()
          }
          source.on('retry', onRetry)
        }),
    ),
  )
}

/** Runs `end`, and gives the median of the times from its start until each source had its next SVID. */
async function timeUntilUpdated(sources: X509Source[], end: () => Promise<void>): Promise<number> {
  const updated = sources.map(
    (source) => new Promise<number>((resolve) => source.once('update', () => resolve(performance.now()))),
  )
  const begun = performance.now()
  await end()
  const times = (await Promise.all(updated)).map((at) => at - begun).sort((a, b) => a - b)
  return (times[count / 2 - 1]! + times[count / 2]!) / 2
}

describe('the SVID is there within half a second of the socket, by the median of ten,', () => {
  for (const [what, leaveFile] of [
    ['when the socket file was deleted and created anew', false],
    ['when the socket file stayed behind and was replaced', true],
  ] as const)
    test(what, async () => {
      const sources = await openSources()
      const faults = sources.map(watchOver)
      await agent.die({ leaveFile })
      // By then the delays are as long as they get, so that a longer outage would cost no more.
      await untilRetried(sources, 'unreachable', 6)
      await agent.rotate()
      expect(await timeUntilUpdated(sources, () => agent.comeBack())).toBeLessThan(500)
      expect(sources.map((source) => source.getX509Svid().serialNumber)).toEqual(
        agent.workloads.map(({ svid }) => svid.serialNumber),
      )
      expect(faults.flat()).toEqual([])
    })
})

describe('while the agent has no identity for it, a workload never waits longer than a tenth of the time so far,', () => {
  const denials = 9
  const longest = 1_000

  test('when its entry is created late', async () => {
    agent.withdraw()
    const sources = startSources()
    await untilRetried(sources, 'denied', denials)
    expect(await timeUntilUpdated(sources, () => agent.restore())).toBeLessThan(longest / 2)
  })

  test('when its entry was deleted and is created again', async () => {
    const sources = await openSources()
    agent.withdraw()
    await untilRetried(sources, 'denied', denials)
    for (const source of sources)
      expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))
    expect(await timeUntilUpdated(sources, () => agent.restore())).toBeLessThan(longest / 2)
    for (const source of sources) expect(source.status()).toMatchObject({ state: 'ready', failures: 0 })
  })

  test('which after ten seconds is one at most', () => {
    const delays = Array.from({ length: 500 }, () =>
      defaultBackoff({ kind: 'denied', attempt: 30, waitedMs: 10_000, endpoint: 'unix' }),
    )
    expect(Math.max(...delays)).toBeLessThanOrEqual(longest)
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(100)
  })
})
