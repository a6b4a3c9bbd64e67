import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { isDeepStrictEqual, promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { DevAgent, type DevWorkload } from '../../src/dev/agent/index.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import { keepUntilEnd } from './keep-until-end.js'
import { LineProgram } from './line-program.js'
import type { Told } from './program.js'
import { pythonWith } from './python/environment.js'

const [ours, theirs, abroad] = [
  'spiffe://example.org/node',
  'spiffe://example.org/python',
  'spiffe://partner.test/node',
]
const packages = {
  requirements: ['spiffe==0.3.2', 'grpcio-reflection>=1.78,<2'],
  name: 'python-spiffe-0.3.2-reflection',
  python: [3, 10],
} as const

interface Token {
  id: string
  token: string
  audience: string[]
}

const keep = keepUntilEnd()
let python: string
let agent: DevAgent
let partner: DevAgent

beforeAll(async () => {
  python = await pythonWith(packages)
  agent = await keep(DevAgent.start({ trustDomain: 'example.org' }))
  partner = await keep(DevAgent.start({ trustDomain: 'partner.test' }))
})

async function start({ endpoint }: DevWorkload): Promise<LineProgram> {
  const program = new LineProgram(python, [join(import.meta.dirname, 'python', 'workload.py')], { endpoint })
  try {
    await program.event('ready', { spiffeId: theirs })
    return program
  } catch (error) {
    await program.stop()
    throw error
  }
}

/** Waits for an event that tells this and nothing else. */
async function tells(program: LineProgram, name: string, wanted: object, since = 0): Promise<void> {
  const details = (event: Told) => Object.fromEntries(Object.entries(event).filter(([key]) => !isOfEvent.has(key)))
  await program.until(`${name} with ${JSON.stringify(wanted)}`, () =>
    program.events(name, since).find((event) => isDeepStrictEqual(details(event), wanted)),
  )
}

const isOfEvent = new Set(['type', 'name', 'at'])

describe('py-spiffe with our dev agent', () => {
  test('follows a workload: rotation, two identities, a federation, a new authority, withdrawal and return', async () => {
    await using workload = await agent.workload(theirs)
    await using program = await start(workload)
    const told = (bundles: Record<string, number> = { 'example.org': 1 }) => {
      const svids = workload.svids.map(({ id, serialNumber }) => ({ id: id.toString(), serial: serialNumber }))
      return tells(program, 'update', { svids, bundles })
    }

    await told()
    await workload.rotate()
    await told()
    await tells(program, 'source updated', { serial: workload.svid.serialNumber })
    await workload.add({ id: 'spiffe://example.org/second', hint: 'second' })
    await told()
    workload.remove('spiffe://example.org/second')
    const federation = agent.federateWith(partner)
    await told({ 'example.org': 1, 'partner.test': 1 })
    federation.end()
    await agent.prepareAuthority()
    await told({ 'example.org': 2 })
    await agent.activateAuthority()
    agent.retireAuthorities()
    await told()

    workload.withdraw()
    await workload.restore()
    await told()
    expect(program.events('watch error')).toEqual([])
  })

  test('reads the SVIDs of an agent that has revoked one', async () => {
    await using workload = await agent.workload(theirs)
    await agent.revoke(workload.svid)
    await using program = await start(workload)
    await workload.rotate()
    await tells(program, 'source updated', { serial: workload.svid.serialNumber })
  })

  test('exchanges JWT-SVIDs with our client, validated by the agent and by the keys alone', async () => {
    await using mine = await agent.workload(ours)
    await using its = await agent.workload(theirs)
    await its.add({ id: 'spiffe://example.org/second', hint: 'second' })
    await using client = new WorkloadApiClient({ endpoint: mine.endpoint })
    await using program = await start(its)

    const fromPython = await program.ask<Token>('fetch jwt', { audience: ['a', 'b'] })
    expect(fromPython).toMatchObject({ id: theirs, audience: ['a', 'b'] })
    expect((await client.validateJwtSvid(fromPython.token, 'b')).id.toString()).toBe(theirs)
    await expect(client.validateJwtSvid(fromPython.token, 'c')).rejects.toMatchObject({
      code: 'ERR_WORKLOAD_API_REFUSED',
    })
    const all = await program.ask<Token[]>('fetch jwts', { audience: ['a'] })
    expect(all.map(({ id }) => id)).toEqual([theirs, 'spiffe://example.org/second'])
    const second = program.ask('fetch jwt', { audience: ['a'], subject: 'spiffe://example.org/second' })
    expect(await second).toMatchObject({ id: 'spiffe://example.org/second' })
    await expect(program.ask('fetch jwt', { audience: ['a'], subject: ours })).rejects.toThrow(/FetchJwtSvidError/)

    const { token } = await client.fetchJwtSvid(['a', 'b'])
    for (const task of ['have jwt validated', 'validate jwt']) {
      expect(await program.ask(task, { token, audience: ['a'] }), task).toMatchObject({ id: ours })
      await expect(program.ask(task, { token, audience: ['c'] }), task).rejects.toThrow()
    }
  })

  test('follows the keys of JWT-SVIDs: a new authority, its end, a federation', async () => {
    await using mine = await agent.workload(ours)
    await using its = await agent.workload(theirs)
    await using foreign = await partner.workload(abroad)
    await using client = new WorkloadApiClient({ endpoint: mine.endpoint })
    await using afar = new WorkloadApiClient({ endpoint: foreign.endpoint })
    await using program = await start(its)
    const keys = async () => {
      const bundles = [...(await client.fetchJwtBundles())]
      const keysOf = bundles.map(({ trustDomain, authorities }) => {
        return [trustDomain.name, authorities.map(({ keyId }) => keyId).sort()]
      })
      return Object.fromEntries(keysOf) as Record<string, string[]>
    }
    const proves = (token: string) => program.ask<Token>('validate jwt', { token, audience: ['a'] })

    const before = await client.fetchJwtSvid('a')
    const [old] = (await keys())['example.org']!
    await agent.prepareAuthority()
    await agent.activateAuthority()
    expect((await keys())['example.org']).toHaveLength(2)
    await tells(program, 'keys', await keys())
    const after = await client.fetchJwtSvid('a')
    for (const { token } of [before, after]) expect(await proves(token)).toMatchObject({ id: ours })

    agent.retireAuthorities()
    expect((await keys())['example.org']).not.toContain(old)
    await tells(program, 'keys', await keys())
    expect(await proves(after.token)).toMatchObject({ id: ours })
    await expect(proves(before.token)).rejects.toThrow(/Authority/)

    const { token } = await afar.fetchJwtSvid('a')
    await expect(proves(token)).rejects.toThrow()
    using federation = agent.federateWith(partner)
    await tells(program, 'keys', await keys())
    expect(await proves(token)).toMatchObject({ id: abroad })
    const since = Date.now()
    federation.end()
    await tells(program, 'keys', await keys(), since)
    await expect(proves(token)).rejects.toThrow()
  })
})

test('a tool without any proto finds its way by reflection, and calls', async () => {
  await using workload = await agent.workload(theirs)
  const args = [join(import.meta.dirname, 'python', 'reflect.py'), workload.endpoint, 'tool']
  const { stdout } = await promisify(execFile)(python, args)
  const reflection = ['ServerReflectionInfo']
  const calls = ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTSVID', 'FetchJWTBundles', 'ValidateJWTSVID']
  expect(JSON.parse(stdout)).toMatchObject({
    methods: {
      SpiffeWorkloadAPI: [...calls, 'FetchWITSVID', 'FetchWITBundles'],
      'spiffe.workload.SpiffeWorkloadAPI': calls,
      'grpc.reflection.v1.ServerReflection': reflection,
      'grpc.reflection.v1alpha.ServerReflection': reflection,
    },
    x509: [theirs],
    validated: { spiffe_id: theirs, claims: { sub: theirs, aud: ['tool'] } },
  })
})
