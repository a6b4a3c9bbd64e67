import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../../src/dev/testing/index.js'
import { X509Source, type RetryNotice } from '../../src/source/index.js'
import { defaultBackoff } from '../../src/workload-api/index.js'
import { watchOver } from './keeping.js'
import { expectNothingLeft } from './leaks.js'

expectNothingLeft()

// Ten workloads go through the same outage, each with a source and a jitter of its own. The bounds are on the waits that
// the sources choose; how long it takes then is the machine's, and measured by the benchmark.

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

/** Every retry that these sources announce, and when. */
function retriesOf(sources: X509Source[]): (RetryNotice & { source: X509Source; at: number })[] {
  const retries: ReturnType<typeof retriesOf> = []
  for (const source of sources)
    source.on('retry', (notice) => void retries.push({ ...notice, source, at: performance.now() }))
  return retries
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

/** Runs `end`, and resolves when each source has its next SVID, the newest of its workload. */
async function untilUpdated(sources: X509Source[], end: () => Promise<void>): Promise<void> {
  const updated = sources.map((source) => new Promise((resolve) => source.once('update', resolve)))
  await end()
  await Promise.all(updated)
  expect(sources.map((source) => source.getX509Svid().serialNumber)).toEqual(
    agent.workloads.map(({ svid }) => svid.serialNumber),
  )
}

describe('a workload never waits longer than half a second to ask again', () => {
  for (const [when, leaveFile] of [
    ['while the socket file is gone, until it is created anew', false],
    ['while the socket file stays behind, until it is replaced', true],
  ] as const)
    test(when, async () => {
      const sources = await openSources()
      const faults = sources.map(watchOver)
      const retries = retriesOf(sources)
      await agent.die({ leaveFile })
      // By then the delays are as long as they get, so that a longer outage would cost no more.
      await untilRetried(sources, 'unreachable', 6)
      await agent.rotate()
      await untilUpdated(sources, () => agent.comeBack())
      const unreachable = retries.filter(({ kind }) => kind === 'unreachable')
      expect(Math.max(...unreachable.map(({ delayMs }) => delayMs))).toBeLessThanOrEqual(500)
      expect(faults.flat()).toEqual([])
    })
})

describe('while the agent has no identity for it, a workload never waits longer than a tenth of the time so far,', () => {
  const denials = 9
  const shortest = 100
  const longest = 1_000

  /** Denials that were followed by more than their wait, each with the time since the first. */
  function tooLong(retries: ReturnType<typeof retriesOf>): unknown[] {
    const first = new Map<X509Source, number>()
    return retries
      .filter(({ kind }) => kind === 'denied')
      .filter(({ source, at, delayMs }) => {
        if (!first.has(source)) first.set(source, at)
        // The source took its time a moment before it announced it.
        return delayMs > Math.max(shortest, (at + 50 - first.get(source)!) / 10)
      })
  }

  test('when its entry is created late', async () => {
    agent.withdraw()
    const sources = startSources()
    const retries = retriesOf(sources)
    await untilRetried(sources, 'denied', denials)
    await untilUpdated(sources, () => agent.restore())
    expect(tooLong(retries)).toEqual([])
  })

  test('when its entry was deleted and is created again', async () => {
    const sources = await openSources()
    const retries = retriesOf(sources)
    agent.withdraw()
    await untilRetried(sources, 'denied', denials)
    for (const source of sources)
      expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }))
    await untilUpdated(sources, () => agent.restore())
    expect(tooLong(retries)).toEqual([])
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
