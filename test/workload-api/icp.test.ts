import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http2'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { makeTestKeys, TestTrustDomain, type TestTokenOptions } from '../../src/dev/testing/index.js'
import { X509Source } from '../../src/source/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import { WorkloadApiClient, type WatchEvent, type WorkloadApiClientOptions } from '../../src/workload-api/index.js'
import {
  denied,
  encode,
  Issuer,
  refuse,
  Refusal,
  ScriptedAgent,
  type Script,
  type StreamScript,
} from './scripted-agent.js'
import { makeToken } from './token.js'

let issuer: Issuer
let good: X509Svid
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  issuer = await Issuer.create()
  good = await issuer.issue()
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const web = 'spiffe://example.org/web'
const sec1 = () => good.privateKey.export({ type: 'sec1', format: 'pem' })

interface IcpEntry {
  spiffeId?: string
  x509Svid?: string | Uint8Array
  x509SvidKey?: string | Uint8Array
  bundle?: string | Uint8Array
}

function icpMessage(change: IcpEntry = {}, federated: Record<string, string> = {}): Buffer {
  const entry = {
    spiffeId: web,
    x509Svid: good.certificatesPem(),
    x509SvidKey: good.privateKeyPem(),
    bundle: issuer.authority.bundle().toPem(),
    ...change,
  }
  const bytes = (value: string | Uint8Array) => Buffer.from(value as string)
  return encode(
    'X509SVIDResponse',
    {
      svids: [
        {
          spiffeId: entry.spiffeId,
          x509Svid: bytes(entry.x509Svid),
          x509SvidKey: bytes(entry.x509SvidKey),
          bundle: bytes(entry.bundle),
        },
      ],
      federatedBundles: Object.fromEntries(Object.entries(federated).map(([key, value]) => [key, bytes(value)])),
    },
    'icp',
  )
}

const sendsGood: StreamScript = (call) => call.write(icpMessage())

async function start(script: Script, options: WorkloadApiClientOptions = {}) {
  const agent = await ScriptedAgent.start({ dialect: 'icp', ...script })
  cleanups.push(() => agent.close())
  const client = new WorkloadApiClient({ endpoint: agent.endpoint, ...options })
  cleanups.push(() => client.close())
  return { agent, client }
}

function withEnv(values: Record<string, string>): void {
  for (const [name, value] of Object.entries(values)) vi.stubEnv(name, value)
}

describe('messages', () => {
  test('in PEM become the same values as those in DER', async () => {
    const { client } = await start({ FetchX509SVID: sendsGood })
    const context = await client.fetchX509Context()
    expect(context.defaultSvid.equals(good)).toBe(true)
    expect(context.bundles.getX509Bundle(good.id.trustDomain)?.equals(issuer.authority.bundle())).toBe(true)
    expect(client.dialect).toBe('icp')
  })

  for (const [what, change] of [
    ['a SEC1 key', () => ({ x509SvidKey: sec1() })],
    [
      'DER throughout',
      () => ({ x509Svid: good.certificatesDer(), x509SvidKey: good.privateKeyDer(), bundle: issuer.bundleDer }),
    ],
    ['a bundle without a newline at its end', () => ({ bundle: issuer.authority.bundle().toPem().trimEnd() })],
  ] as [string, () => IcpEntry][])
    test(`are taken with ${what}`, async () => {
      const { client } = await start({ FetchX509SVID: (call) => call.write(icpMessage(change())) })
      expect((await client.fetchX509Context()).defaultSvid.id.toString()).toBe(web)
    })

  for (const [what, change] of [
    ['a key of another pair', () => ({ x509SvidKey: otherKey('pkcs8') })],
    ['an encrypted key', () => ({ x509SvidKey: otherKey('encrypted') })],
    ['rubbish for certificates', () => ({ x509Svid: 'rubbish' })],
    ['an empty bundle', () => ({ bundle: '' })],
    ['no key', () => ({ x509SvidKey: '' })],
    ['another SPIFFE ID than the certificate', () => ({ spiffeId: 'spiffe://example.org/db' })],
  ] as [string, () => IcpEntry][])
    test(`are refused with ${what}`, async () => {
      const { client } = await start({ FetchX509SVID: (call) => call.write(icpMessage(change())) })
      const error: unknown = await client.fetchX509Context().catch((e: unknown) => e)
      expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
    })

  test('have bundle keys that are bare names, in whatever case', async () => {
    const pem = issuer.authority.bundle().toPem()
    const { client } = await start({
      FetchX509Bundles: (call) =>
        call.write(
          encode(
            'X509BundlesResponse',
            { bundles: { 'Tenant-1': Buffer.from(pem), 'spiffe://b': Buffer.from(pem) } },
            'icp',
          ),
        ),
      FetchX509SVID: sendsGood,
    })
    const bundles = await client.fetchX509Bundles()
    expect([...bundles].map(({ trustDomain }) => trustDomain.name).sort()).toEqual(['b', 'tenant-1'])
  })
})

test('JWT bundles have keys whose use is "sig"', async () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keys = [{ ...publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'default', alg: 'RS256' }]
  const { client } = await start({
    FetchX509SVID: sendsGood,
    FetchJWTBundles: (call) =>
      call.write(
        encode('JWTBundlesResponse', { bundles: { 'Tenant-1': Buffer.from(JSON.stringify({ keys })) } }, 'icp'),
      ),
  })
  const [bundle] = [...(await client.fetchJwtBundles())]
  expect(bundle?.trustDomain.name).toBe('tenant-1')
  expect(bundle?.authorities.map(({ keyId }) => keyId)).toEqual(['default'])
})

function jwtBundles(): Buffer {
  const bundle = new TestTrustDomain('example.org').jwtBundle()
  return encode('JWTBundlesResponse', { bundles: { 'example.org': Buffer.from(JSON.stringify(bundle)) } }, 'icp')
}

function otherKey(kind: 'pkcs8' | 'encrypted'): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey
    .export({
      type: 'pkcs8',
      format: 'pem',
      ...(kind === 'encrypted' ? { cipher: 'aes-256-cbc', passphrase: 'x' } : {}),
    })
    .toString()
}

describe('detection', () => {
  const standardGood: StreamScript = (call) => call.write(issuer.message([good]))

  test('takes a standard agent at its first answer, with one call', async () => {
    const { agent, client } = await start({ dialect: 'spiffe', FetchX509SVID: standardGood })
    await client.fetchX509Context()
    expect(client.dialect).toBe('spiffe')
    expect(agent.count('FetchX509SVID')).toBe(1)
  })

  test('takes a denial for an answer', async () => {
    for (const dialect of ['spiffe', 'icp'] as const) {
      const { client } = await start({ dialect, FetchX509SVID: (call) => refuse(call, denied) })
      await expect(client.fetchX509Context()).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
      expect(client.dialect).toBe(dialect)
    }
  })

  test('stays undecided while the agent is not well, and does not try the other dialect', async () => {
    const { client } = await start({
      dialect: 'spiffe',
      FetchX509SVID: (call) => refuse(call, { code: status.UNAVAILABLE, details: 'starting' }),
    })
    await expect(client.fetchX509Context()).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
    expect(client.dialect).toBeUndefined()
  })

  test('names both paths when an endpoint has neither', async () => {
    const { client } = await start({ dialect: 'spiffe' })
    const error = (await client.fetchX509Context().catch((e: unknown) => e)) as Error
    expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_UNIMPLEMENTED' })
    expect(error.message).toContain(
      '/SpiffeWorkloadAPI/FetchX509SVID and /spiffe.workload.SpiffeWorkloadAPI/FetchX509SVID',
    )
  })

  test('can be forced', async () => {
    const { client } = await start({ FetchX509SVID: sendsGood }, { dialect: 'spiffe' })
    await expect(client.fetchX509Context()).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_UNIMPLEMENTED' })
    const { client: other, agent } = await start({ FetchX509SVID: sendsGood }, { dialect: 'icp' })
    await other.fetchX509Context()
    expect(agent.count('FetchX509SVID')).toBe(1)
  })

  test('finds out anew when an agent of the other dialect takes the socket over', async () => {
    const second = await issuer.issue()
    const { agent } = await start({ FetchX509SVID: sendsGood })
    await using source = await X509Source.open({ endpoint: agent.endpoint })
    expect(source.status().dialect).toBe('icp')
    const update = new Promise((resolve) => source.once('update', resolve))
    await agent.die()
    await agent.listen({ dialect: 'spiffe', FetchX509SVID: (call) => call.write(issuer.message([second])) })
    await update
    expect(source.status().dialect).toBe('spiffe')
  })
})

test('an ICP agent is asked for an SVID before anything that it answers out of its cache, on every connection', async () => {
  const issues: Script = {
    FetchX509SVID: sendsGood,
    FetchJWTSVID: () =>
      encode(
        'JWTSVIDResponse',
        { svids: [{ spiffeId: web, svid: makeToken({ sub: web, aud: 'a', exp: 4e9 }) }] },
        'icp',
      ),
  }
  for (const dialect of ['icp', 'auto'] as const) {
    const { agent, client } = await start(issues, { dialect })
    const asked = () => agent.seen.map(({ method }) => method)
    await client.fetchJwtSvid('a')
    await client.fetchJwtSvid('a')
    expect(asked()).toEqual(['FetchX509SVID', 'FetchJWTSVID', 'FetchJWTSVID'])
    await agent.die()
    await agent.listen({ dialect: 'icp', ...issues })
    agent.seen.length = 0
    await vi.waitFor(() => client.fetchJwtSvid('a'))
    expect(asked().slice(-2)).toEqual(['FetchX509SVID', 'FetchJWTSVID'])
  }
})

test('an ICP agent whose cache has run out is asked for an SVID once more', async () => {
  const token = { spiffeId: web, svid: makeToken({ sub: web, aud: 'a', exp: 4e9 }) }
  const notAttested = { code: status.PERMISSION_DENIED, details: 'Workload not attested' }
  let held = false
  const { agent, client } = await start({
    FetchX509SVID: (call) => {
      held = true
      call.write(icpMessage())
    },
    FetchJWTSVID: () =>
      held ? encode('JWTSVIDResponse', { svids: [token] }, 'icp') : new Refusal(notAttested.code, notAttested.details),
    FetchJWTBundles: (call) => (held ? call.write(jwtBundles()) : refuse(call, notAttested)),
  })
  await client.fetchJwtSvid('a')
  held = false
  await client.fetchJwtSvid('a')
  expect(agent.seen.map(({ method }) => method)).toEqual([
    'FetchX509SVID',
    'FetchJWTSVID',
    'FetchJWTSVID',
    'FetchX509SVID',
    'FetchJWTSVID',
  ])
  held = false
  const watch = client.watchJwtBundles({ backoff: () => 1 })
  expect((await watch.next()).value?.size).toBe(1)
  await watch.return?.()
})

test('a workload that the ICP agent does not know is denied, without asking again and again', async () => {
  const { agent, client } = await start({
    FetchX509SVID: (call) => refuse(call, denied),
    FetchJWTSVID: () => new Refusal(status.PERMISSION_DENIED, 'Workload not attested'),
  })
  await expect(client.fetchJwtSvid('a')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
  expect(agent.seen.map(({ method }) => method)).toEqual(['FetchX509SVID', 'FetchJWTSVID'])
})

describe('metadata', () => {
  test('never goes to a standard agent, also when that has taken the place of an ICP agent', async () => {
    withEnv({ POD_NAME: 'web-1' })
    const { agent } = await start({ FetchX509SVID: sendsGood })
    await using source = await X509Source.open({ endpoint: agent.endpoint })
    await agent.die()
    const seen: string[] = []
    const stand = createServer().on('stream', (stream, headers) => {
      seen.push(...Object.keys(headers))
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14' }, { endStream: true })
    })
    await new Promise<void>((resolve) => stand.listen(agent.path, resolve))
    cleanups.push(() => new Promise((resolve) => stand.close(resolve)))
    await vi.waitFor(() => expect(seen.filter((name) => name === ':path').length).toBeGreaterThan(2), 5_000)
    await source.close()
    expect(seen.filter((name) => name.startsWith('x-'))).toEqual([])
  })

  test('goes to an ICP agent with the security header, and its warnings come once', async () => {
    withEnv({ POD_NAME: 'web-1', POD_LABEL_APP: 'web', POD_UID: 'ü' })
    const { agent, client } = await start({ FetchX509SVID: (call) => call.end() }, { backoff: () => 0 })
    const events: WatchEvent[] = []
    const updates = client.watchX509Context({ onEvent: (event) => events.push(event) })
    void updates.next().catch(() => undefined)
    await expect.poll(() => agent.count('FetchX509SVID')).toBeGreaterThan(2)
    await updates.return?.()
    expect(agent.seen[0]?.metadata).toMatchObject({
      'workload.spiffe.io': ['true'],
      'x-k8s-pod-name': ['web-1'],
      'x-k8s-pod-label-app': ['web'],
    })
    const warnings = events.filter(({ type }) => type === 'warning')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatchObject({ message: expect.stringContaining('POD_UID') as string })
  })

  for (const dialect of ['auto', 'icp'] as const)
    test(`may be warned about to somebody who stops at that, dialect ${dialect}`, async () => {
      withEnv({ POD_UID: 'ü' })
      const { agent, client } = await start(
        { FetchX509SVID: (call) => call.end(), FetchJWTBundles: (call) => call.end() },
        { dialect },
      )
      const events: string[] = []
      const stop = new AbortController()
      const reason = new Error('enough')
      const onEvent = ({ type }: WatchEvent) => {
        events.push(type)
        if (type === 'warning') stop.abort(reason)
      }
      await expect(client.watchX509Context({ signal: stop.signal, onEvent }).next()).rejects.toBe(reason)
      expect(events.at(-1)).toBe('warning')
      // What the watch left on the connection would be there before this call.
      await client.fetchJwtBundles().catch(() => undefined)
      expect(agent.streams.size).toBe(0)
    })

  test('is left out when the option says so', async () => {
    withEnv({ POD_NAME: 'web-1' })
    const { agent, client } = await start(
      { FetchX509SVID: sendsGood },
      { metadata: false, labels: { pod: { app: 'x' } } },
    )
    await client.fetchX509Context()
    expect(Object.keys(agent.seen[0]!.metadata).filter((key) => key.startsWith('x-'))).toEqual([])
  })

  test('does not go out with other calls', async () => {
    withEnv({ POD_NAME: 'web-1' })
    const { agent, client } = await start({
      FetchX509SVID: sendsGood,
      FetchJWTSVID: () =>
        encode(
          'JWTSVIDResponse',
          { svids: [{ spiffeId: web, svid: makeToken({ sub: web, aud: 'a', exp: 4e9 }) }] },
          'icp',
        ),
    })
    await client.fetchJwtSvid('a')
    const jwt = agent.seen.find(({ method }) => method === 'FetchJWTSVID')
    expect(jwt?.metadata['x-k8s-pod-name']).toBeUndefined()
    expect(jwt?.metadata['workload.spiffe.io']).toEqual(['true'])
  })
})

describe('validateJwtSvid()', () => {
  const token = makeToken({ sub: web, aud: ['a'], exp: 4e9 })
  const answers = (value: object): Script => ({
    FetchX509SVID: sendsGood,
    ValidateJWTSVID: () => encode('ValidateJWTSVIDResponse', value, 'icp'),
  })

  test('puts the token where the ICP schema has it, also as the very first call', async () => {
    const requests: unknown[] = []
    const { client } = await start({
      FetchX509SVID: sendsGood,
      ValidateJWTSVID: (request) => {
        requests.push(request)
        return encode('ValidateJWTSVIDResponse', { spiffeId: web, claims: { sub: web } }, 'icp')
      },
    })
    const { id } = await client.validateJwtSvid(token, 'a')
    expect(id.toString()).toBe(web)
    expect(requests).toEqual([{ svid: token, audience: 'a' }])
  })

  test('sends no token to an agent whose dialect is not known', async () => {
    let asked = 0
    const { client } = await start({
      dialect: 'spiffe',
      FetchX509SVID: (call) => refuse(call, { code: status.UNAVAILABLE, details: 'starting' }),
      ValidateJWTSVID: () => {
        asked++
        return new Refusal(status.INTERNAL, '')
      },
    })
    await expect(client.validateJwtSvid(token, 'a')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
    expect(asked).toBe(0)
  })

  for (const [what, jwt, audience, answer, code] of [
    ['an invalid token, which the agent answers with OK', token, 'a', {}, 'ERR_JWT_SVID_SIGNATURE'],
    ['the wrong audience, which the agent answers with OK', token, 'b', { spiffeId: web }, 'ERR_JWT_SVID_AUDIENCE'],
    [
      'the wrong audience, even with claims',
      token,
      'b',
      { spiffeId: web, claims: { sub: web } },
      'ERR_JWT_SVID_AUDIENCE',
    ],
    ['an answer without claims', token, 'a', { spiffeId: web }, 'ERR_JWT_SVID_AUDIENCE'],
    [
      'an answer for another subject',
      token,
      'a',
      { spiffeId: `${web}2`, claims: { sub: web } },
      'ERR_JWT_SVID_MALFORMED',
    ],
    [
      'an expired token',
      makeToken({ sub: web, aud: 'a', exp: 1_000 }),
      'a',
      { spiffeId: web, claims: { sub: web } },
      'ERR_JWT_SVID_EXPIRED',
    ],
  ] as const)
    test(`refuses ${what}`, async () => {
      const { client } = await start(answers(answer))
      await expect(client.validateJwtSvid(jwt, audience)).rejects.toMatchObject({ name: 'UntrustedPeerError', code })
    })

  test('refuses when the agent breaks down over a valid token and has no JWT bundles', async () => {
    const { client } = await start({
      FetchX509SVID: sendsGood,
      ValidateJWTSVID: () => new Refusal(status.UNKNOWN, 'TypeError'),
    })
    await expect(client.validateJwtSvid(token, 'a')).rejects.toMatchObject({ grpcStatus: 2 })
  })

  describe('where the agent breaks down, with the keys of the agent,', () => {
    // As that agent's server issues them: RS256, no kid, and keys that say `sig`.
    const td = new TestTrustDomain('example.org')
    const { privateKey, publicKey } = makeTestKeys('rsa-2048')
    const jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'default', alg: 'RS256' }
    const bundles = { 'example.org': Buffer.from(JSON.stringify({ keys: [jwk] })) }
    const mint = (options: TestTokenOptions = {}) =>
      td.token({ privateKey, ...options, header: { alg: 'RS256', kid: undefined, typ: 'JWT', ...options.header } })
    const validate = async (jwt: string, code = status.UNKNOWN) => {
      const { client } = await start({
        FetchX509SVID: sendsGood,
        FetchJWTBundles: (call) => call.write(encode('JWTBundlesResponse', { bundles }, 'icp')),
        ValidateJWTSVID: () => new Refusal(code, "Unexpected <class 'TypeError'>"),
      })
      return client.validateJwtSvid(jwt, 'a')
    }

    test('a valid token is proved here', async () => {
      const { id, claims } = await validate(mint())
      expect(id.toString()).toBe('spiffe://example.org/w')
      expect(claims).toMatchObject({ aud: ['a'] })
    })

    for (const [what, options, code] of [
      ['for another audience', { claims: { aud: ['b'] } }, 'ERR_JWT_SVID_AUDIENCE'],
      ['that expired', { claims: { exp: 1_000 } }, 'ERR_JWT_SVID_EXPIRED'],
      ['of another signer', { privateKey: makeTestKeys('rsa-2048').privateKey }, 'ERR_JWT_SVID_SIGNATURE'],
      ['of an unknown trust domain', { claims: { sub: 'spiffe://other/w' } }, 'ERR_BUNDLE_NOT_FOUND'],
    ] as const)
      test(`a token ${what} is refused`, async () => {
        await expect(validate(mint(options))).rejects.toMatchObject({ name: 'UntrustedPeerError', code })
      })

    test('no token is proved here that the agent refused in earnest', async () => {
      await expect(validate(mint(), status.INVALID_ARGUMENT)).rejects.toMatchObject({ grpcStatus: 3 })
    })
  })

  test('a standard agent that breaks down is not helped out', async () => {
    let asked = 0
    const { client } = await start({
      dialect: 'spiffe',
      FetchX509SVID: (call) => refuse(call, denied),
      FetchJWTBundles: () => {
        asked++
      },
      ValidateJWTSVID: () => new Refusal(status.UNKNOWN, ''),
    })
    await expect(client.validateJwtSvid(token, 'a')).rejects.toMatchObject({ grpcStatus: 2 })
    expect(asked).toBe(0)
  })
})

test('a denial by an ICP agent in mid-life keeps the SVID, because that agent answers every fault so', async () => {
  const { agent } = await start({
    FetchX509SVID: (call, nth) => (nth === 0 ? call.write(icpMessage()) : refuse(call, denied)),
  })
  await using source = await X509Source.open({ endpoint: agent.endpoint })
  for (const call of agent.streams) call.end()
  await expect.poll(() => agent.count('FetchX509SVID')).toBeGreaterThan(2)
  expect(source.getX509Svid().equals(good)).toBe(true)
})
