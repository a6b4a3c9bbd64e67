import { setImmediate } from 'node:timers/promises'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { TestAgent } from '../../src/dev/testing/index.js'
import { QuickStartSVID, type QuickStartOptions } from '../../src/quickstart/index.js'
import { EarlyWarnings } from '../../src/source/early-warnings.js'
import { BundleSource, JwtSource, X509Source } from '../../src/source/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'

// A warning of the time before `open()` resolved reaches whoever listens right after it.

afterEach(() => {
  vi.unstubAllEnvs()
})

async function startIcpAgent(): Promise<string> {
  const agent = await TestAgent.start({ workloads: ['spiffe://example.org/web'], dialects: ['icp'] })
  onTestFinished(() => agent.close())
  vi.stubEnv('POD_UID', 'ü')
  return agent.workloads[0]!.endpoint
}

interface Warns extends AsyncDisposable {
  on: (name: 'warning', listener: (warning: string | { message: string }) => void) => unknown
}

const kinds: Record<string, (endpoint: string) => Promise<Warns>> = {
  'X509Source.open()': (endpoint) => X509Source.open({ endpoint }),
  'X509Source.start()': (endpoint) => Promise.resolve(X509Source.start({ endpoint })),
  'JwtSource.open()': (endpoint) => JwtSource.open({ endpoint }),
  'BundleSource.open()': (endpoint) => BundleSource.open({ endpoint }),
  'QuickStartSVID.create()': (endpoint) => QuickStartSVID.create({ endpoint, files: false }),
}

for (const [name, open] of Object.entries(kinds))
  test(`what cannot be told to an ICP agent is warned of once, to whoever listens after ${name}`, async () => {
    await using source = await open(await startIcpAgent())
    const warnings: string[] = []
    source.on('warning', (warning) => warnings.push(typeof warning === 'string' ? warning : warning.message))
    await vi.waitFor(() => expect(warnings).toHaveLength(1))
    expect(warnings[0]).toContain('POD_UID')
    expect(warnings[0]).not.toContain('ü')
  })

test('a warning that a single call had nobody to tell waits for the next watch', async () => {
  await using client = new WorkloadApiClient({ endpoint: await startIcpAgent() })
  await client.fetchX509Context()
  const warnings: string[] = []
  const onEvent = (event: { type: string; message?: string }) => {
    if (event.type === 'warning') warnings.push(event.message ?? '')
  }
  const watch = client.watchX509Context({ onEvent })
  await watch.next()
  await watch.return?.()
  expect(warnings).toHaveLength(1)
})

test('QuickStartSVID tells an ICP agent what its options say', async () => {
  const endpoint = await startIcpAgent()
  const warningsOf = async (options: QuickStartOptions): Promise<string[]> => {
    await using svid = await QuickStartSVID.create({ endpoint, files: false, ...options })
    const warnings: string[] = []
    svid.on('warning', ({ message }) => warnings.push(message))
    await setImmediate()
    await setImmediate()
    return warnings
  }
  expect(await warningsOf({ metadata: false })).toEqual([])
  const told = await warningsOf({ dialect: 'icp', labels: { pod: { 'a b': 'c' } } })
  expect(told.map((warning) => /POD_UID|labels\.pod/.exec(warning)?.[0])).toEqual(['POD_UID', 'labels.pod'])
  const strict = QuickStartSVID.create({
    endpoint,
    files: false,
    limits: { maxMessageBytes: 10 },
    initialTimeoutMs: 500,
  })
  await expect(strict).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
})

test('equal warnings of the time before somebody could listen are one', async () => {
  const told: string[] = []
  const warnings = new EarlyWarnings(
    (message) => told.push(message),
    () => false,
  )
  for (let n = 0; n < 1_000; n++) warnings.tell('the same')
  warnings.tell('another')
  expect(told).toEqual([])
  warnings.release()
  await setImmediate()
  expect(told).toEqual(['the same', 'another'])
  warnings.tell('the same')
  expect(told).toHaveLength(3)
})
