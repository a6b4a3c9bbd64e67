import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { JwtBundleSet, SpiffeBundle } from '../../src/bundle/index.js'
import { TestAgent, TestTrustDomain } from '../../src/dev/testing/index.js'
import { SvidFileWriter, X509FileSource } from '../../src/files/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { shutdownOnSignals } from '../../src/quickstart/shutdown-on-signals.js'
import { BundleSource, JwtSource, X509Source } from '../../src/source/index.js'
import { verifyJwtSvid } from '../../src/svid/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'

const endpoint = 'unix:///nowhere/agent.sock'
const td = new TestTrustDomain('td.test')

async function writer(afterWrite?: { commandTimeoutMs: number }): Promise<SvidFileWriter> {
  const made = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs'), afterWrite })
  onTestFinished(() => made.close())
  return made
}

async function called<T>(call: (client: WorkloadApiClient) => T): Promise<Awaited<T>> {
  await using client = new WorkloadApiClient({ endpoint })
  return await call(client)
}

/** Every place that takes a number of milliseconds or a maximum, with an option that is none. */
const places: Record<string, (value: number) => unknown> = {
  'WorkloadApiClient connectTimeoutMs': (connectTimeoutMs) => new WorkloadApiClient({ endpoint, connectTimeoutMs }),
  'WorkloadApiClient firstMessageTimeoutMs': (ms) => new WorkloadApiClient({ endpoint, firstMessageTimeoutMs: ms }),
  'WorkloadApiClient keepaliveMs': (keepaliveMs) => new WorkloadApiClient({ endpoint, keepaliveMs }),
  'WorkloadApiClient keepaliveTimeoutMs': (ms) => new WorkloadApiClient({ endpoint, keepaliveTimeoutMs: ms }),
  'WorkloadApiClient limits.maxCrlBytes': (maxCrlBytes) => new WorkloadApiClient({ endpoint, limits: { maxCrlBytes } }),
  'WorkloadApiClient backoff': (backoff) => new WorkloadApiClient({ endpoint, backoff: backoff as never }),
  'fetchX509Context timeoutMs': (timeoutMs) => called((client) => client.fetchX509Context({ timeoutMs })),
  'fetchX509Bundles timeoutMs': (timeoutMs) => called((client) => client.fetchX509Bundles({ timeoutMs })),
  'fetchJwtBundles timeoutMs': (timeoutMs) => called((client) => client.fetchJwtBundles({ timeoutMs })),
  'fetchJwtSvid timeoutMs': (timeoutMs) => called((client) => client.fetchJwtSvid('a', { timeoutMs })),
  'validateJwtSvid timeoutMs': (timeoutMs) => called((client) => client.validateJwtSvid('t', 'a', { timeoutMs })),
  'watchX509Context backoff': (backoff) => called((client) => client.watchX509Context({ backoff: backoff as never })),
  'X509Source initialTimeoutMs': (initialTimeoutMs) => X509Source.open({ endpoint, initialTimeoutMs }),
  'X509Source backoff': (backoff) => X509Source.open({ endpoint, backoff: backoff as never }),
  'JwtSource initialTimeoutMs': (initialTimeoutMs) => JwtSource.open({ endpoint, initialTimeoutMs }),
  'JwtSource clockSkewMs': (clockSkewMs) => JwtSource.start({ endpoint, clockSkewMs }),
  'JwtSource maxCachedSvids': (maxCachedSvids) => JwtSource.start({ endpoint, maxCachedSvids }),
  'BundleSource initialTimeoutMs': (initialTimeoutMs) => BundleSource.open({ endpoint, initialTimeoutMs }),
  'QuickStartSVID initialTimeoutMs': (initialTimeoutMs) => QuickStartSVID.create({ endpoint, initialTimeoutMs }),
  'QuickStartSVID initialTimeoutMs without waiting': (initialTimeoutMs) =>
    QuickStartSVID.create({ endpoint, initialTimeoutMs, wait: false }),
  'shutdownOnSignals graceMs': (graceMs) => shutdownOnSignals(() => Promise.resolve(), { signals: [], graceMs }),
  'X509FileSource initialTimeoutMs': (ms) => X509FileSource.open({ directory: '/nowhere', initialTimeoutMs: ms }),
  'X509FileSource pollMs': (pollMs) => X509FileSource.open({ directory: '/nowhere', pollMs }),
  'SvidFileWriter afterWrite.commandTimeoutMs': (commandTimeoutMs) => writer({ commandTimeoutMs }),
  'SvidFileWriter retryMs': async (retryMs) =>
    (await writer()).follow({ getX509Svid: () => td.svid(), getX509Bundle: () => td.bundle() }, { retryMs }),
  'verifyJwtSvid clockSkewMs': (clockSkewMs) =>
    verifyJwtSvid(td.token(), new JwtBundleSet([td.jwtBundle()]), { audience: 'a', clockSkewMs }),
  'verifyJwtSvid maxBytes': (maxBytes) =>
    verifyJwtSvid(td.token(), new JwtBundleSet([td.jwtBundle()]), { audience: 'a', maxBytes }),
}

for (const [place, run] of Object.entries(places))
  test(`${place} refuses what is no duration or number`, async () => {
    for (const value of [NaN, -1, '5', {}]) {
      const attempt = Promise.resolve(value as number).then(run)
      await expect(attempt, JSON.stringify(value)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
  })

test('SpiffeBundle refreshHintMs refuses what is no number', () => {
  for (const refreshHintMs of [NaN, '5' as never])
    expect(() => SpiffeBundle.from({ trustDomain: td.trustDomain, refreshHintMs })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
})

test('Infinity means for ever, not at once', async () => {
  const agent = await TestAgent.start({ after: onTestFinished })
  agent.stall()
  const times = { connectTimeoutMs: Infinity, firstMessageTimeoutMs: Infinity, keepaliveMs: Infinity }
  const client = new WorkloadApiClient({ endpoint: agent.endpoint, ...times, keepaliveTimeoutMs: Infinity })
  onTestFinished(() => client.close())
  const source = X509Source.start({ client })
  onTestFinished(() => source.close())
  const retries: unknown[] = []
  source.on('retry', (notice) => retries.push(notice))
  await expect.poll(() => agent.workloads[0]!.steering.openStreams).toBe(1)
  agent.behave()
  await source.updates().next()
  expect(retries).toEqual([])
})
