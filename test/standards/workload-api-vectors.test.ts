import { status } from '@grpc/grpc-js'
import { describe, expect, onTestFinished, test } from 'vitest'
import { TestAgent } from '../../src/dev/testing/index.js'
import { X509Source, type RetryNotice } from '../../src/source/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { decodeX509Context } from '../../src/workload-api/decode/x509-context.js'
import { standardDialect } from '../../src/workload-api/dialects/standard.js'
import { WorkloadApiClient } from '../../src/workload-api/index.js'
import { completeLimits } from '../../src/workload-api/limits.js'
import { IndependentClient, marked } from '../dev/agent/independent-client.js'
import {
  denied,
  encode,
  Issuer,
  messageOf,
  refuse,
  ScriptedAgent,
  type Entry,
  type Script,
  type StreamScript,
} from '../workload-api/scripted-agent.js'
import { makeToken } from '../workload-api/token.js'

const issuer = await Issuer.create('td')
const foreign = await Issuer.create('td2')
const [a, b] = [await issuer.issue('/a'), await issuer.issue('/b')]
const [td, td2] = [TrustDomain.parse('td'), TrustDomain.parse('td2')]
const invalid = expect.objectContaining({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' }) as Error
const none = new Uint8Array(0)

const decode = (bytes: Buffer) => decodeX509Context(standardDialect.readX509Svids(bytes), completeLimits(), new Date())
const decodeEntry = (change: Entry) => decode(messageOf([issuer.entry(a, change)])).value
const withFederated = (key: string, bundle: Uint8Array) => decode(issuer.message([a], { [key]: bundle })).value.bundles

async function start(script: Script): Promise<ScriptedAgent> {
  const agent = await ScriptedAgent.start(script)
  onTestFinished(() => agent.close())
  return agent
}

function connect(endpoint: string): WorkloadApiClient {
  const client = new WorkloadApiClient({ endpoint })
  onTestFinished(() => client.close())
  return client
}

/** A source that reconnects without much delay, and what it says of it. */
function follow(endpoint: string) {
  const source = X509Source.start({ endpoint, backoff: () => 5 })
  onTestFinished(() => source.close())
  const retries: RetryNotice[] = []
  source.on('retry', (notice) => retries.push(notice))
  return { source, retries }
}

const holds = (source: X509Source, svid: typeof a) =>
  expect.poll(() => source.status().svid?.serialNumber, { timeout: 5_000, interval: 5 }).toBe(svid.serialNumber)
const sends =
  (message: Buffer): StreamScript =>
  (call) =>
    void call.write(message)
/** A stream that does one thing after the other, each time it is opened. */
const inTurn =
  (...turns: StreamScript[]): StreamScript =>
  (call, nth) =>
    turns[Math.min(nth, turns.length - 1)]?.(call, nth)
const away = { code: status.UNAVAILABLE, details: 'away' }

describe('one message', () => {
  test('H-001 one SVID with its bundle is both', () => {
    const { defaultSvid, bundles } = decodeEntry({})
    expect(defaultSvid.equals(a)).toBe(true)
    expect(bundles.getX509Bundle(td)?.equals(issuer.authority.bundle())).toBe(true)
  })

  test('H-002 of five SVIDs the third, with the hint of the first, is dropped; the first is the default', async () => {
    const svids = await Promise.all([0, 1, 2, 3, 4].map((index) => issuer.issue(`/${index}`)))
    const hints = ['internal', 'external', 'internal', '', '']
    const { value } = decode(messageOf(svids.map((svid, index) => issuer.entry(svid, { hint: hints[index]! }))))
    expect(value.svids.map(({ id }) => id.path)).toEqual(['/0', '/1', '/3', '/4'])
    expect(value.defaultSvid.id.path).toBe('/0')
  })

  for (const [id, what, change] of [
    ['H-004', 'no key', { x509_svid_key: none }],
    ['H-005', 'no bundle', { bundle: none }],
    ['H-007', 'the SPIFFE ID of another', { spiffe_id: 'spiffe://td/b' }],
    ['H-014', 'a bundle in PEM', { bundle: Buffer.from(issuer.authority.bundle().toPem()) }],
  ] as const)
    test(`${id} an entry with ${what} is discarded`, () => expect(() => decodeEntry(change)).toThrow(invalid))

  test('H-008 a federated bundle is trusted under spiffe://td2', () => {
    const bundle = withFederated('spiffe://td2', foreign.bundleDer).getX509Bundle(td2)
    expect(bundle?.equals(foreign.authority.bundle())).toBe(true)
  })
  for (const key of ['spiffe://td2/x', 'spiffe://TD2'])
    test(`H-010 a federated bundle under ${key} is discarded`, () =>
      expect(() => withFederated(key, foreign.bundleDer)).toThrow(invalid))
  test('H-011 a federated bundle without bytes is there, and empty', () =>
    expect(withFederated('spiffe://td2', none).getX509Bundle(td2)?.authorities).toEqual([]))
  test('H-013 two roots in a bundle are two authorities', () => {
    const bundle = Buffer.concat([issuer.bundleDer, foreign.bundleDer])
    expect(decodeEntry({ bundle }).bundles.getX509Bundle(td)?.authorities).toHaveLength(2)
  })
  test('H-016 revocation lists are passed on with the bundles', () => {
    const crl = Buffer.from('3003020101', 'hex')
    const { bundles } = decode(messageOf([issuer.entry(a)], {}, [crl])).value
    expect(bundles.getX509Bundle(td)?.crls).toEqual([new Uint8Array(crl)])
  })
})

describe('a stream', () => {
  test('H-017 that is denied first and serves later serves', async () => {
    const turns = inTurn((call) => refuse(call, denied), sends(issuer.message([a])))
    const { source, retries } = follow((await start({ FetchX509SVID: turns })).endpoint)
    await holds(source, a)
    expect(retries.map(({ kind }) => kind)).toEqual(['denied'])
  })

  test('H-019 that ends with UNAVAILABLE in the middle leaves the SVID in use', async () => {
    const turns = inTurn(sends(issuer.message([a])), (call) => refuse(call, away), sends(issuer.message([b])))
    const agent = await start({ FetchX509SVID: turns })
    const { source, retries } = follow(agent.endpoint)
    await holds(source, a)
    const held: boolean[] = []
    source.on('retry', () => held.push(source.getX509Svid().equals(a)))
    for (const call of agent.streams) refuse(call, away)
    await holds(source, b)
    expect(held).toEqual([true, true])
    expect(retries.map(({ error }) => error.grpcStatus)).toEqual([status.UNAVAILABLE, status.UNAVAILABLE])
  })

  test('H-020 that ends with INVALID_ARGUMENT is not opened again', async () => {
    const agent = await start({
      FetchX509SVID: (call) => refuse(call, { code: status.INVALID_ARGUMENT, details: 'no' }),
    })
    const { source, retries } = follow(agent.endpoint)
    const error = await new Promise((resolve) => source.once('stopped', resolve))
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED', grpcStatus: 3 })
    expect([retries, agent.count('FetchX509SVID')]).toEqual([[], 1])
  })

  test('H-023 that its caller leaves ends quietly', async () => {
    const agent = await start({ FetchX509SVID: sends(issuer.message([a])) })
    const events: string[] = []
    const updates = connect(agent.endpoint).watchX509Context({ onEvent: ({ type }) => events.push(type) })
    await updates.next()
    expect(await updates.return?.()).toEqual({ done: true, value: undefined })
    await expect.poll(() => agent.streams.size, { timeout: 5_000, interval: 5 }).toBe(0)
    expect(await updates.next()).toEqual({ done: true, value: undefined })
    expect(events).toEqual(['connecting', 'open'])
  })

  test('H-025 to a socket that is not there is opened when it is', async () => {
    const agent = await ScriptedAgent.prepare()
    onTestFinished(() => agent.close())
    const { source, retries } = follow(agent.endpoint)
    await new Promise((resolve) => source.once('retry', resolve))
    await agent.listen({ FetchX509SVID: sends(issuer.message([a])) })
    await holds(source, a)
    expect(new Set(retries.map(({ kind }) => kind))).toEqual(new Set(['unreachable']))
  })

  test('H-026 that fails again and again waits longer and longer, and from the start after a message', async () => {
    const fails: StreamScript = (call) => refuse(call, away)
    const turns = inTurn(fails, fails, fails, sends(issuer.message([a])), fails, sends(issuer.message([b])))
    const agent = await start({ FetchX509SVID: turns })
    const asked: number[] = []
    const source = X509Source.start({
      endpoint: agent.endpoint,
      backoff({ attempt }) {
        asked.push(attempt)
        return 5
      },
    })
    onTestFinished(() => source.close())
    await holds(source, a)
    for (const call of agent.streams) refuse(call, away)
    await holds(source, b)
    expect(asked).toEqual([0, 1, 2, 0, 1])
  })

  test('H-043 that sends the same message twice wakes nobody the second time', async () => {
    const agent = await start({ FetchX509SVID: sends(issuer.message([a])) })
    const { source } = follow(agent.endpoint)
    let woken = 0
    source.onUpdate(() => woken++)
    await holds(source, a)
    agent.send(issuer.message([a]))
    await expect.poll(() => source.status().messages.unchanged, { timeout: 5_000, interval: 5 }).toBe(1)
    expect(woken).toBe(1)
  })

  test('H-044 that has nothing yet is waited for, until the first update', async () => {
    const agent = await start({ FetchX509SVID: () => undefined })
    const opening = X509Source.open({ endpoint: agent.endpoint })
    await expect.poll(() => agent.streams.size, { timeout: 5_000, interval: 5 }).toBe(1)
    agent.send(issuer.message([a]))
    const source = await opening
    onTestFinished(() => source.close())
    expect(source.getX509Svid().equals(a)).toBe(true)
  })
  test('H-044 that has nothing at all is waited for, until the deadline', async () => {
    const agent = await start({ FetchX509SVID: () => undefined })
    const opening = X509Source.open({ endpoint: agent.endpoint, initialTimeoutMs: 50 })
    await expect(opening).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  })

  test('H-047 without the hint that is asked for gives no other SVID', async () => {
    const agent = await start({ FetchX509SVID: sends(messageOf([issuer.entry(a, { hint: 'in' })])) })
    const source = X509Source.start({ endpoint: agent.endpoint, pickSvid: { hint: 'out' } })
    onTestFinished(() => source.close())
    const code = () => source.status().lastError?.code
    await expect.poll(code, { timeout: 5_000, interval: 5 }).toBe('ERR_SVID_NOT_FOUND')
    expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' }))
  })
})

describe('bundles and tokens', () => {
  const FetchX509SVID = sends(issuer.message([a]))
  const jwks = Buffer.from(JSON.stringify({ keys: [{ kid: 'k', ...a.leaf.publicKey.export({ format: 'jwk' }) }] }))

  test('H-034 a token for the audiences a and b has both', async () => {
    const svid = makeToken({ sub: 'spiffe://td/a', aud: ['a', 'b'], exp: 4e9 })
    const agent = await start({
      FetchX509SVID,
      FetchJWTSVID: () => encode('JWTSVIDResponse', { svids: [{ spiffeId: 'spiffe://td/a', svid }] }),
    })
    expect((await connect(agent.endpoint).fetchJwtSvid(['a', 'b'])).audience).toEqual(['a', 'b'])
  })
  test('H-035 a token of another subject than announced is an error', async () => {
    const svid = makeToken({ sub: 'spiffe://td/b', aud: ['a'], exp: 4e9 })
    const agent = await start({
      FetchX509SVID,
      FetchJWTSVID: () => encode('JWTSVIDResponse', { svids: [{ spiffeId: 'spiffe://td/a', svid }] }),
    })
    await expect(connect(agent.endpoint).fetchJwtSvid('a')).rejects.toThrow(invalid)
  })
  test('H-037 a message without bundles is discarded', async () => {
    const agent = await start({ FetchX509SVID, FetchX509Bundles: sends(encode('X509BundlesResponse', {})) })
    await expect(connect(agent.endpoint).fetchX509Bundles()).rejects.toThrow(invalid)
  })
  test('H-038 one JWK Set that cannot be read takes trust from its domain alone', async () => {
    const bundles = { 'spiffe://td': jwks, 'spiffe://td2': Buffer.from('{') }
    const agent = await start({ FetchX509SVID, FetchJWTBundles: sends(encode('JWTBundlesResponse', { bundles })) })
    const set = await connect(agent.endpoint).fetchJwtBundles()
    expect(set.getJwtBundle(td)?.authorities).toHaveLength(1)
    expect(set.getJwtBundle(td2)?.authorities ?? []).toEqual([])
  })
})

describe('the dev agent', () => {
  async function serve() {
    const agent = await TestAgent.start({ after: onTestFinished })
    const client = new IndependentClient(agent.endpoint)
    onTestFinished(() => client.close())
    return { agent, client }
  }

  for (const value of ['True', 'TRUE', '1', 'false'])
    test(`H-028 answers INVALID_ARGUMENT to the security header ${value}`, async () => {
      const { client } = await serve()
      expect((await client.x509Svids(marked(value)).status).code).toBe(status.INVALID_ARGUMENT)
    })
  test('H-029 asks for the security header in ValidateJWTSVID too', async () => {
    const { client } = await serve()
    expect(await client.statusOf('ValidateJWTSVID', { audience: 'a', svid: 'x' }, marked())).toBe(
      status.INVALID_ARGUMENT,
    )
  })
  test('H-031 answers INVALID_ARGUMENT to a malformed SPIFFE ID', async () => {
    const { client } = await serve()
    const request = { audience: ['a'], spiffe_id: 'foo' }
    expect(await client.statusOf('FetchJWTSVID', request)).toBe(status.INVALID_ARGUMENT)
  })
  test('H-032 answers PERMISSION_DENIED to an identity that is not the caller’s', async () => {
    const { client } = await serve()
    const request = { audience: ['a'], spiffe_id: 'spiffe://example.org/other' }
    expect(await client.statusOf('FetchJWTSVID', request)).toBe(status.PERMISSION_DENIED)
  })
  test('H-034 puts the audiences a and b into the token', async () => {
    const { agent } = await serve()
    expect((await connect(agent.endpoint).fetchJwtSvid(['a', 'b'])).audience).toEqual(['a', 'b'])
  })
  test('H-040 refuses a token for another audience', async () => {
    const { agent } = await serve()
    const client = connect(agent.endpoint)
    const { token } = await client.fetchJwtSvid('a')
    await expect(client.validateJwtSvid(token, 'b')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED' })
  })
  test('H-041 refuses a token of a trust domain without a bundle with INVALID_ARGUMENT', async () => {
    const { agent } = await serve()
    const stranger = await TestAgent.start({ trustDomain: 'other.example', after: onTestFinished })
    const { token } = await connect(stranger.endpoint).fetchJwtSvid('a')
    const refused = connect(agent.endpoint).validateJwtSvid(token, 'a')
    await expect(refused).rejects.toMatchObject({ grpcStatus: status.INVALID_ARGUMENT })
  })
  test('H-046 takes a hint of 1024 bytes and none of 1025', async () => {
    const { agent } = await serve()
    const open = (length: number) => agent.workload('spiffe://example.org/hinted', { hint: 'h'.repeat(length) })
    expect((await open(1024)).svid.hint).toHaveLength(1024)
    await expect(open(1025)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
})
