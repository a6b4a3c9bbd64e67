import { expect, onTestFinished, test } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { TestAgent, TestTrustDomain } from '../../src/dev/testing/index.js'
import { X509Source } from '../../src/source/index.js'
import { verifyX509Svid, type X509Context } from '../../src/svid/index.js'
import { ScriptedAgent } from '../workload-api/scripted-agent.js'
import { makeGenerations } from './generations.js'
import { untilHolds } from './keeping.js'
import { expectNothingLeft } from './leaks.js'

expectNothingLeft()

/** The serial number of the root that a context trusts: each generation below has one of its own. */
function rootOf({ defaultSvid, bundles }: X509Context): string | undefined {
  return bundles.getX509Bundle(defaultSvid.id.trustDomain)?.authorities[0]?.serialNumber
}

// Ten thousand, which take ten seconds to verify, are for `npm run bench -- workload-api`.
test('of 1 000 updates in a row every snapshot is whole, and the last one stays', async () => {
  const updates = 1_000
  const generations = makeGenerations(50)
  const rootOfLeaf = new Map(generations.map(({ svid, root }) => [svid.serialNumber, root]))
  const last = generations[(updates - 1) % generations.length]!
  const agent = await ScriptedAgent.start({
    FetchX509SVID: (call) => {
      for (let n = 0; n < updates; n++) call.write(generations[n % generations.length]!.message)
    },
  })
  onTestFinished(() => agent.close())

  const source = X509Source.start({ endpoint: agent.endpoint })
  onTestFinished(() => source.close())
  let torn = 0
  source.onUpdate(() => {
    if (rootOf(source.context) !== rootOfLeaf.get(source.getX509Svid().serialNumber)) torn++
  })
  const slow = source.updates()
  await slow.next()
  for await (const context of source.updates()) {
    verifyX509Svid(
      context.defaultSvid.certificates.map(({ der }) => der),
      context.bundles,
    )
    if (source.status().messages.updates === updates) break
  }
  expect(source.status().messages).toEqual({ updates, unchanged: 0, discarded: 0 })
  expect(source.getX509Svid().equals(last.svid)).toBe(true)
  expect(torn).toBe(0)
  // Latest wins: who was slow skips what is old.
  expect((await slow.next()).value?.defaultSvid.equals(last.svid)).toBe(true)
})

test('1 000 federated bundles come with each update, and one that changes among them is seen', async () => {
  const agent = await TestAgent.start({ after: onTestFinished })
  const names = Array.from({ length: 1_000 }, (_, index) => `partner-${index}.example`)
  const partners = names.map((name) => new TestTrustDomain(name))
  for (const partner of partners) agent.federateWith(partner.bundle())
  const source = await X509Source.open({ endpoint: agent.endpoint })
  onTestFinished(() => source.close())
  expect(source.context.bundles.size).toBe(1_001)
  const expected = new X509BundleSet([agent.bundle, ...partners.map((partner) => partner.bundle())])
  expect(source.context.bundles.equals(expected)).toBe(true)

  const renewed = new TestTrustDomain(names[500]!)
  const update = new Promise((resolve) => source.once('update', resolve))
  agent.federateWith(renewed.bundle())
  await update
  expect(source.getX509Bundle(renewed.trustDomain)?.equals(renewed.bundle())).toBe(true)
  expect(verifyX509Svid([renewed.leaf().der], source).id.trustDomain.name).toBe(names[500])
  await agent.rotate()
  await untilHolds(source, () => agent.workloads[0]!.svid)
  expect(source.context.bundles.size).toBe(1_001)
})
