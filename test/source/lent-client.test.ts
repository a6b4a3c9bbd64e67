import { expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../../src/dev/testing/index.js'
import { BundleSource, JwtSource, X509Source } from '../../src/source/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'

// A client may be shared, and its owner may close it under the sources that were made with it.

for (const [name, open] of [
  ['X509Source', (client: WorkloadApiClient) => X509Source.open({ client })],
  ['JwtSource', (client: WorkloadApiClient) => JwtSource.open({ client })],
  ['BundleSource', (client: WorkloadApiClient) => BundleSource.open({ client })],
] as const)
  test(`a client that is closed under a ${name} stops it, and whoever waits for its next update hears so`, async () => {
    const agent = await TestAgent.start({ workloads: ['spiffe://example.org/web'] })
    onTestFinished(() => agent.close())
    const client = new WorkloadApiClient({ endpoint: agent.workloads[0]!.endpoint })
    const source = await open(client)
    onTestFinished(() => source.close())
    const updates = source.updates()
    await updates.next()
    const stopped: { code: string }[] = []
    source.on('stopped', (error) => stopped.push(error))
    const waiting = updates.next()
    await client.close()
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    expect(source.status().state).toBe('stopped')
    expect(stopped.map(({ code }) => code)).toContain('ERR_CLOSED')
  })
