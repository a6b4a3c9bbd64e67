import { expect, test } from 'vitest'
import { keepUntilEnd } from './keep-until-end.js'
import { nodeNamed } from './node-named.js'
import type { Told } from './program.js'
import { SpireServer } from './spire/cluster.js'
import { everyWayGoesOn, type LoadResult, Workload } from './workload.js'

const td = 'spiffe://example.org'
const [web, payments] = [`${td}/web`, `${td}/payments`]
const rotations = 10

const keep = keepUntilEnd()

test('ten rotations in a row: not one call fails, kept alive, fresh or in flight', async () => {
  const server = await keep(SpireServer.start({ trustDomain: 'example.org' }))
  const [webBinary, paymentsBinary] = [await nodeNamed('web', server.dir), await nodeNamed('payments', server.dir)]
  // The agent of these tests looks every second, and an SVID of ten seconds is due for renewal whenever it looks.
  await server.createEntry({ spiffeId: web, selectors: [`unix:path:${webBinary}`], x509SvidTtl: 10 })
  await server.createEntry({ spiffeId: payments, selectors: [`unix:path:${paymentsBinary}`], x509SvidTtl: 10 })
  const { endpoint } = await server.agent({ name: 'agent' })
  const [caller, called] = await Promise.all([
    keep(Workload.start({ endpoint, binary: webBinary, authorize: [payments] })),
    keep(Workload.start({ endpoint, binary: paymentsBinary, authorize: [web] })),
  ])

  const since = Date.now()
  await caller.ask('start load', { url: called.url, authorize: payments })
  const [mine, theirs] = await Promise.all(
    [caller, called].map((workload) =>
      workload.until(`${rotations} rotations`, () => {
        const rotated = workload.events('rotated', since)
        return rotated.length >= rotations ? rotated : undefined
      }),
    ),
  )
  await everyWayGoesOn(caller)
  const load = await caller.ask<LoadResult>('stop load')
  const took = Date.now() - since

  expect(load.failures).toEqual([])
  expect(load.reused).toBeGreaterThan(0)
  expect(load.servers).toEqual(expect.arrayContaining(serialsThatLasted(theirs!)))
  expect(load.callers).toEqual(expect.arrayContaining(serialsThatLasted(mine!)))
  for (const workload of [caller, called]) {
    for (const trouble of ['withdrawn', 'unavailable', 'expired', 'warning', 'rejected']) {
      expect(workload.events(trouble)).toEqual([])
    }
  }
  const total = Object.values(load.calls).reduce((sum, calls) => sum + calls)
  console.log(`rotation: ${total} calls over ${rotations} rotations of either side in ${took} ms, none failed`)
})

/** Of the certificates that were the newest for long enough that some call must have met them. */
function serialsThatLasted(rotated: readonly Told[]): unknown[] {
  const lasted = rotated.filter(({ at }, index) => (rotated[index + 1]?.at ?? Infinity) - at > 500)
  expect(lasted.length).toBeGreaterThan(rotations / 2)
  return lasted.map((rotation) => rotation['newSerialNumber'])
}
