import { expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../../src/dev/testing/index.js'
import { JwtSource } from '../../src/source/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'

const workload = 'spiffe://example.org/workload'

async function open(dialect: 'spiffe' | 'icp') {
  const agent = await TestAgent.start({ after: onTestFinished, dialects: [dialect] })
  const source = await JwtSource.open({ endpoint: agent.endpoint, initialTimeoutMs: 5_000 })
  onTestFinished(() => source.close())
  return { agent, source }
}

for (const dialect of ['spiffe', 'icp'] as const) {
  test(`over ${dialect}: a JWT-SVID of one workload is proved by another, also of a federated trust domain`, async () => {
    const { agent, source } = await open(dialect)
    const { source: partner } = await open(dialect)
    const svid = await source.getJwtSvid('ledger', { spiffeId: workload })
    expect(svid.id.toString()).toBe(workload)
    expect((await source.validate(svid.token, 'ledger')).claims).toMatchObject({ sub: workload, aud: ['ledger'] })
    await expect(source.validate(svid.token, 'other')).rejects.toMatchObject({ code: 'ERR_JWT_SVID_AUDIENCE' })
    // Another agent of the same name has other keys.
    await expect(partner.validate(svid.token, 'ledger')).rejects.toMatchObject({ code: 'ERR_AUTHORITY_NOT_FOUND' })

    const foreign = await TestAgent.start({
      after: onTestFinished,
      trustDomain: 'partner.example',
      dialects: [dialect],
    })
    await using client = new WorkloadApiClient({ endpoint: foreign.endpoint })
    const { token } = await client.fetchJwtSvid('ledger')
    await expect(source.validate(token, 'ledger')).rejects.toMatchObject({ code: 'ERR_BUNDLE_NOT_FOUND' })
    const updated = new Promise((resolve) => source.once('update', resolve))
    agent.federateWith(foreign)
    await updated
    expect((await source.validate(token, 'ledger')).id.toString()).toBe('spiffe://partner.example/workload')
  })
}

test('when the authority that signed it is retired, the next caller gets a JWT-SVID of the new one', async () => {
  const { agent, source } = await open('spiffe')
  const before = await source.getJwtSvid('ledger')
  const keys = () => source.bundles.getJwtBundle(before.id.trustDomain)?.authorities.length
  await agent.agent.prepareAuthority()
  await expect.poll(keys).toBe(2)
  await agent.agent.activateAuthority()
  expect(await source.getJwtSvid('ledger')).toBe(before)
  agent.agent.retireAuthorities()
  await expect.poll(keys).toBe(1)
  const after = await source.getJwtSvid('ledger')
  await expect(source.validate(before.token, 'ledger')).rejects.toMatchObject({ code: 'ERR_AUTHORITY_NOT_FOUND' })
  expect((await source.validate(after.token, 'ledger')).id.equals(before.id)).toBe(true)
})
