import { once } from 'node:events'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { request } from 'undici'
import { callerOfRequest, createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import { DevAgent } from '../../src/dev/agent/index.js'
import { X509Source } from '../../src/source/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import { GoProgram, type GoWorkload } from './go-workload.js'
import { keepUntilEnd } from './keep-until-end.js'
import { getJson } from './programs/get-json.mjs'

const [ours, theirs, abroad] = ['spiffe://example.org/node', 'spiffe://example.org/go', 'spiffe://partner.test/go']

const keep = keepUntilEnd()
let program: GoProgram
let agent: DevAgent
let partner: DevAgent

beforeAll(async () => {
  program = await keep(GoProgram.build())
  agent = await keep(DevAgent.start({ trustDomain: 'example.org' }))
  partner = await keep(DevAgent.start({ trustDomain: 'partner.test' }))
})

describe('go-spiffe with our dev agent', () => {
  test('follows a workload: rotation, two identities, a federation, a new authority, withdrawal and return', async () => {
    await using workload = await agent.workload(theirs, { hint: 'main' })
    await using go = await program.start({ endpoint: workload.endpoint, authorize: 'any' })
    const told = (svids: object[], bundles: object = { 'example.org': 1 }) =>
      go.until(`an update with ${JSON.stringify([svids, bundles])}`, () =>
        go.events('update').find((event) => {
          return JSON.stringify([event['svids'], event['bundles']]) === JSON.stringify([svids, bundles])
        }),
      )
    const shown = () =>
      workload.svids.map(({ id, hint, serialNumber }) => ({ hint, id: id.toString(), serial: serialNumber }))

    await told(shown())
    await workload.rotate()
    await told(shown())
    await workload.add({ id: 'spiffe://example.org/second', hint: 'second' })
    expect(shown()).toHaveLength(2)
    await told(shown())
    workload.remove('spiffe://example.org/second')
    const federation = agent.federateWith(partner)
    await told(shown(), { 'example.org': 1, 'partner.test': 1 })
    federation.end()
    await agent.prepareAuthority()
    await told(shown(), { 'example.org': 2 })
    await agent.activateAuthority()
    agent.retireAuthorities()
    await told(shown())

    const since = Date.now()
    workload.withdraw()
    await go.event('watch error', { since, grpcStatus: 7 })
    await workload.restore()
    await told(shown())
  })

  test('exchanges JWT-SVIDs with our client, validated by the agent and by the keys alone', async () => {
    await using mine = await agent.workload(ours)
    await using its = await agent.workload(theirs, { hint: 'main' })
    await using client = new WorkloadApiClient({ endpoint: mine.endpoint })
    await using go = await program.start({ endpoint: its.endpoint, authorize: 'any' })

    const fromGo = await go.ask<{ id: string; token: string; hint: string }>('fetch jwt', { audience: ['a', 'b'] })
    expect(fromGo).toMatchObject({ id: theirs, hint: 'main' })
    const proved = await client.validateJwtSvid(fromGo.token, 'b')
    expect(proved.id.toString()).toBe(theirs)
    await expect(client.validateJwtSvid(fromGo.token, 'c')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED' })

    const { token } = await client.fetchJwtSvid(['a', 'b'])
    for (const task of ['have jwt validated', 'validate jwt']) {
      expect(await go.ask(task, { token, audience: ['a'] }), task).toMatchObject({ id: ours })
      await expect(go.ask(task, { token, audience: ['c'] }), task).rejects.toThrow()
    }
    const refused = go.ask('have jwt validated', { token, audience: ['c'] })
    await expect(refused).rejects.toMatchObject({ grpcStatus: 3 })
    const notIts = go.ask('fetch jwt', { audience: ['a'], subject: ours })
    await expect(notIts).rejects.toMatchObject({ grpcStatus: 7 })
  })

  test('follows the keys of JWT-SVIDs to a new authority, and to its end', async () => {
    await using mine = await agent.workload(ours)
    await using its = await agent.workload(theirs)
    await using client = new WorkloadApiClient({ endpoint: mine.endpoint })
    await using go = await program.start({ endpoint: its.endpoint, authorize: 'any' })
    const proves = (token: string) => go.ask('validate jwt', { token, audience: ['a'] })
    const before = await client.fetchJwtSvid('a')
    expect(await proves(before.token)).toMatchObject({ id: ours })
    await agent.prepareAuthority()
    await go.event('jwt source updated', { keys: 2 })
    await agent.activateAuthority()
    const after = await client.fetchJwtSvid('a')
    for (const { token } of [before, after]) expect(await proves(token)).toMatchObject({ id: ours })
    const since = Date.now()
    agent.retireAuthorities()
    await go.event('jwt source updated', { since, keys: 1 })
    expect(await proves(after.token)).toMatchObject({ id: ours })
    await expect(proves(before.token)).rejects.toThrow(/no JWT authority/)
  })
})

/** Our half: a server and what it takes to call, in this process. */
async function nodeWorkload(endpoint: string, authorize: readonly string[]) {
  const source = await X509Source.open({ endpoint })
  const server: Server = createHttpsServer(source, { authorize }, (incoming, response) => {
    const { id, certificate } = callerOfRequest(incoming)!
    response.end(JSON.stringify({ by: ours, caller: id.toString(), callerSerial: certificate.serialNumber }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    source,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await source.close()
    },
  }
}

const ways = {
  async https(source: X509Source, url: string, authorize: string) {
    const httpsAgent = new SpiffeHttpsAgent(source, { authorize, keepAlive: false })
    try {
      return await getJson(url, httpsAgent)
    } finally {
      httpsAgent.destroy()
    }
  },
  async undici(source: X509Source, url: string, authorize: string) {
    const dispatcher = createDispatcher(source, { authorize })
    try {
      const { statusCode, body } = await request(url, { dispatcher })
      return { status: statusCode, body: await body.json() }
    } finally {
      await dispatcher.destroy()
    }
  },
}

describe('mutual TLS between go-spiffe and this library', () => {
  let its: Awaited<ReturnType<DevAgent['workload']>>
  let node: Awaited<ReturnType<typeof nodeWorkload>>
  let go: GoWorkload
  beforeAll(async () => {
    const mine = await keep(agent.workload(ours))
    its = await keep(agent.workload(theirs))
    node = await keep(nodeWorkload(mine.endpoint, [theirs, abroad]))
    go = await keep(program.start({ endpoint: its.endpoint, authorize: [ours] }))
  })

  test('go-spiffe calls our server, and each knows the other, before and after a rotation of both', async () => {
    const serials = new Set<string>()
    for (let round = 0; round < 2; round++) {
      const answer = await go.call({ url: node.url, authorize: ours })
      expect(answer).toMatchObject({
        status: 200,
        body: { by: ours, caller: theirs, callerSerial: its.svid.serialNumber },
        serial: node.source.getX509Svid().serialNumber,
      })
      serials.add(answer.serial!).add(answer.body.callerSerial)
      const [svid, since] = [node.source.getX509Svid(), Date.now()]
      await agent.rotate()
      await go.event('source updated', { since, serial: its.svid.serialNumber })
      await expect.poll(() => node.source.getX509Svid()).not.toBe(svid)
    }
    expect(serials.size).toBe(4)
  })

  for (const [via, call] of Object.entries(ways)) {
    test(`we call a go-spiffe server over ${via}, and each knows the other`, async () => {
      const answer = await call(node.source, go.url, theirs)
      expect(answer).toMatchObject({ status: 200, body: { by: theirs, caller: ours } })
    })

    test(`we refuse a go-spiffe server that is somebody else over ${via}`, async () => {
      const answer = call(node.source, go.url, 'spiffe://example.org/other')
      await expect(answer).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
    })
  }

  test('go-spiffe refuses our server when it expects somebody else', async () => {
    const answer = go.call({ url: node.url, authorize: 'spiffe://example.org/other' })
    await expect(answer).rejects.toThrow(/unexpected ID/)
  })

  test('a server of go-spiffe refuses us when it expects somebody else', async () => {
    await using third = await agent.workload('spiffe://example.org/third')
    await using source = await X509Source.open({ endpoint: third.endpoint })
    const since = Date.now()
    await expect(ways.https(source, go.url, theirs)).rejects.toThrow()
    const { message } = await go.event('rejected', { since })
    expect(message).toContain('spiffe://example.org/third')
  })

  test('our server answers a go-spiffe client that is not on its list 403', async () => {
    await using third = await agent.workload('spiffe://example.org/third')
    await using other = await program.start({ endpoint: third.endpoint, authorize: 'any' })
    expect(await other.call({ url: node.url, authorize: ours })).toMatchObject({ status: 403 })
  })

  test('across two trust domains, both ways, from the moment of the federation', async () => {
    await using workload = await partner.workload(abroad)
    await using foreign = await program.start({ endpoint: workload.endpoint, authorize: [ours] })
    await expect(ways.https(node.source, foreign.url, abroad)).rejects.toMatchObject({ code: 'ERR_BUNDLE_NOT_FOUND' })

    const [here, there] = [agent.federateWith(partner), partner.federateWith(agent)]
    try {
      await foreign.until('the bundle of example.org', () =>
        foreign.events('update').find(({ bundles }) => 'example.org' in (bundles as object)),
      )
      await expect.poll(() => node.source.context.bundles.size).toBe(2)
      const answer = await ways.https(node.source, foreign.url, abroad)
      expect(answer).toMatchObject({ status: 200, body: { by: abroad, caller: ours } })
      const back = await foreign.call({ url: node.url, authorize: ours })
      expect(back).toMatchObject({ status: 200, body: { by: ours, caller: abroad } })
    } finally {
      here.end()
      there.end()
    }
  })
})
