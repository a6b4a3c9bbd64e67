import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { AuthorityRing } from '../../../src/dev/agent/authority-ring.js'
import { Certificate } from '../../../src/encoding/index.js'
import { SpiffeId, TrustDomain } from '../../../src/spiffe-id/index.js'
import type { X509SvidMessage } from './independent-client.js'
import { connect, startAgent } from './scope.js'

const web = 'spiffe://example.org/web'
const leafOf = (message: X509SvidMessage) => new X509Certificate(message.svids[0]!.x509_svid)
const rootsOf = (message: X509SvidMessage) =>
  Certificate.parseAll(message.svids[0]!.bundle).map((root) => root.serialNumber)
const issuerOf = (message: X509SvidMessage) =>
  Certificate.parseAll(message.svids[0]!.bundle).find((root) =>
    Certificate.parseAll(message.svids[0]!.x509_svid)[0]!.isIssuedBy(root),
  )?.serialNumber

test('SVIDs of one second rotate by themselves, each before the last one has expired', async () => {
  const started = Date.now()
  const agent = await startAgent({ svidTtlMs: 1_000 })
  const { endpoint } = await agent.workload(web)
  const stream = connect(endpoint).x509Svids()
  const leaves = [leafOf(await stream.next())]
  for (let n = 1; n <= 3; n++) {
    const leaf = leafOf(await stream.next())
    const last = leaves.at(-1)!
    expect(leaf.serialNumber).not.toBe(last.serialNumber)
    expect(Date.now()).toBeLessThan(Date.parse(last.validTo))
    // Half of the lifetime, with room for a busy machine.
    expect(Date.now() - started).toBeGreaterThan(n * 490)
    leaves.push(leaf)
  }
})

test('a workload may have a lifetime of its own', async () => {
  const agent = await startAgent({ svidTtlMs: 3_600_000 })
  const { svid } = await agent.workload(web, { svidTtlMs: 60_000 })
  const left = svid.expiresAt.getTime() - Date.now()
  expect(left).toBeGreaterThan(58_000)
  expect(left).toBeLessThan(61_001)
})

test('with a clock of its own, certificates are dated by it and rotateDue() rotates what is past its half', async () => {
  let now = Date.parse('2030-01-01T00:00:00Z')
  const agent = await startAgent({ svidTtlMs: 600_000, now: () => new Date(now) })
  const long = await agent.workload('spiffe://example.org/long', { svidTtlMs: 1_200_000 })
  const short = await agent.workload(web)
  expect(short.svid.expiresAt.toISOString()).toBe('2030-01-01T00:10:00.000Z')
  const serials = () => [long, short].map(({ svid }) => svid.serialNumber)
  const [longBefore, shortBefore] = serials()

  now += 299_999
  await agent.rotateDue()
  expect(serials()).toEqual([longBefore, shortBefore])

  now += 1
  await agent.rotateDue()
  expect(serials()[0]).toBe(longBefore)
  expect(serials()[1]).not.toBe(shortBefore)
  expect(short.svid.expiresAt.toISOString()).toBe('2030-01-01T00:15:00.000Z')
})

test('rotate() renews every workload; when it resolves, each has its new SVID', async () => {
  const agent = await startAgent({ workloads: [web, 'spiffe://example.org/batch'] })
  const before = agent.workloads.map(({ svid }) => svid.serialNumber)
  await agent.rotate()
  const after = agent.workloads.map(({ svid }) => svid.serialNumber)
  expect(after).toHaveLength(2)
  for (const [index, serial] of after.entries()) expect(serial).not.toBe(before[index])
})

test('many rotations at the same time end with one consistent state', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const stream = connect(workload.endpoint).x509Svids()
  await stream.next()
  await Promise.all([
    ...Array.from({ length: 20 }, () => workload.rotate()),
    workload.add({ id: 'spiffe://example.org/second' }),
    agent.rotate(),
  ])
  const last = await stream.until(
    (message) =>
      Buffer.compare(message.svids.at(-1)!.x509_svid, Buffer.from(workload.svids.at(-1)!.certificatesDer())) === 0,
  )
  expect(last.svids.map(({ spiffe_id }) => spiffe_id)).toEqual([web, 'spiffe://example.org/second'])
  expect(leafOf(last).serialNumber.toLowerCase()).toBe(workload.svid.serialNumber)
})

test('a roll-over of the authority publishes the new root, then uses it, then removes the old one', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web)
  const stream = connect(endpoint).x509Svids()
  const first = await stream.next()
  const [oldRoot] = rootsOf(first)

  await agent.prepareAuthority()
  const published = await stream.next()
  const newRoot = rootsOf(published).find((root) => root !== oldRoot)!
  expect(new Set(rootsOf(published))).toEqual(new Set([oldRoot, newRoot]))
  expect(leafOf(published).serialNumber).toBe(leafOf(first).serialNumber)

  await agent.activateAuthority()
  const used = await stream.next()
  expect(new Set(rootsOf(used))).toEqual(new Set([oldRoot, newRoot]))
  expect(issuerOf(used)).toBe(newRoot)

  agent.retireAuthorities()
  const retired = await stream.next()
  expect(rootsOf(retired)).toEqual([newRoot])
  expect(issuerOf(retired)).toBe(newRoot)
})

test('rotateAuthority() does the three steps; no message holds an SVID without its root', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const stream = connect(workload.endpoint).x509Svids()
  const [oldRoot] = rootsOf(await stream.next())
  await agent.rotateAuthority({ overlapMs: 20 })
  await stream.until((message) => !rootsOf(message).includes(oldRoot!))
  expect(stream.messages).toHaveLength(4)
  for (const message of stream.messages) expect(issuerOf(message)).toBeDefined()
  expect(agent.authority.bundle().authorities).toHaveLength(1)
})

test('close() ends a roll-over that waits', async () => {
  const agent = await startAgent()
  const ended = expect(agent.rotateAuthority({ overlapMs: 60_000 })).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  await expect.poll(() => agent.bundle.authorities.length).toBe(2)
  await agent.close()
  await ended
})

test('of two rotations the one that began later stays, whichever ends first', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const commitOlder = await workload.prepareRotation()
  const commitNewer = await workload.prepareRotation()
  commitNewer()
  const { svid } = workload
  commitOlder()
  expect(workload.svid).toBe(svid)
})

test('an SVID that was being signed during a roll-over is signed again', async () => {
  const trustDomain = TrustDomain.parse('example.org')
  const ring = await AuthorityRing.create(trustDomain, () => new Date())
  await ring.prepare()
  const [oldRoot, newRoot] = ring.bundle().authorities
  const issuing = ring.issueX509({ id: SpiffeId.parse(web), hint: '', dnsNames: [] }, 60_000)
  ring.activate()
  const { leaf } = await issuing
  expect([leaf.isIssuedBy(oldRoot!), leaf.isIssuedBy(newRoot!)]).toEqual([false, true])
})

test('rotations that overlap a roll-over never leave an SVID of the old authority behind', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web, {
    also: [{ id: 'spiffe://example.org/b' }, { id: 'spiffe://example.org/c' }],
  })
  for (let n = 0; n < 5; n++) {
    await agent.prepareAuthority()
    const rotations = [workload.rotate(), agent.rotate(), agent.activateAuthority(), workload.rotate()]
    await Promise.all(rotations)
    agent.retireAuthorities()
    const [root] = agent.bundle.authorities
    for (const svid of workload.svids) expect(svid.leaf.isIssuedBy(root!)).toBe(true)
  }
})

test('the steps of a roll-over out of order are refused', async () => {
  const agent = await startAgent()
  await expect(agent.activateAuthority()).rejects.toMatchObject({ code: 'ERR_DEV_AGENT' })
  await agent.prepareAuthority()
  await expect(agent.prepareAuthority()).rejects.toMatchObject({ code: 'ERR_DEV_AGENT' })
})
