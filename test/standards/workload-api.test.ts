import { status } from '@grpc/grpc-js'
import { afterEach, expect, vi } from 'vitest'
import { JwtBundleSet, X509BundleSet } from '../../src/bundle/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { BundleSource, X509Source, type BundleSourceOptions } from '../../src/source/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyJwtSvid, verifyX509Svid, type X509Svid } from '../../src/svid/index.js'
import { decodeX509Context } from '../../src/workload-api/decode/x509-context.js'
import { standardDialect } from '../../src/workload-api/dialects/standard.js'
import { parseEndpoint, resolveEndpoint, WorkloadApiClient } from '../../src/workload-api/index.js'
import { completeLimits } from '../../src/workload-api/limits.js'
import {
  denied,
  encode,
  Issuer,
  messageOf,
  refuse,
  Refusal,
  ScriptedAgent,
  startRawServer,
  type Entry,
  type Script,
  type StreamScript,
} from '../workload-api/scripted-agent.js'
import { makeToken } from '../workload-api/token.js'
import { testSection } from './row.js'
import { workloadApiSection, workloadEndpointSection } from './workload-api-rows.js'

const issuer = await Issuer.create('td')
const foreign = await Issuer.create('td2')
const [a, b] = [await issuer.issue('/a'), await issuer.issue('/b')]
const ofForeign = await foreign.issue('/peer')
const td = TrustDomain.parse('td')
const td2 = TrustDomain.parse('td2')
const invalid = 'ERR_WORKLOAD_API_RESPONSE_INVALID'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(script: Script): Promise<{ agent: ScriptedAgent; client: WorkloadApiClient }> {
  const agent = await ScriptedAgent.start(script)
  cleanups.push(() => agent.close())
  const client = new WorkloadApiClient({ endpoint: agent.endpoint })
  cleanups.push(() => client.close())
  return { agent, client }
}

async function open(script: Script): Promise<{ agent: ScriptedAgent; source: X509Source }> {
  const { agent } = await start(script)
  const source = await X509Source.open({ endpoint: agent.endpoint, initialTimeoutMs: 5_000, backoff: () => 10 })
  cleanups.push(() => source.close())
  return { agent, source }
}

/** The bundles alone, of one kind. */
async function openBundles(
  script: Script,
  only: BundleSourceOptions['only'],
): Promise<{ agent: ScriptedAgent; source: BundleSource }> {
  const { agent } = await start({ FetchX509SVID: (call) => refuse(call, denied), ...script })
  const options = { endpoint: agent.endpoint, only, initialTimeoutMs: 5_000, backoff: () => 10 }
  const source = await BundleSource.open(options)
  cleanups.push(() => source.close())
  return { agent, source }
}

/** A stream that does one thing after the other, each time it is opened. */
const inTurn =
  (...turns: StreamScript[]): StreamScript =>
  (call, nth) =>
    turns[Math.min(nth, turns.length - 1)]?.(call, nth)

const sends =
  (message: Buffer): StreamScript =>
  (call) =>
    void call.write(message)

/** What the client makes of the bytes of one X509SVIDResponse. */
const decode = (bytes: Buffer) => decodeX509Context(standardDialect.readX509Svids(bytes), completeLimits(), new Date())
const decodeEntry = (change: Entry) => decode(messageOf([issuer.entry(a, change)])).value

const entry = (path: string, claims: object = {}) => ({
  spiffeId: `spiffe://td${path}`,
  svid: makeToken({ sub: `spiffe://td${path}`, aud: ['x'], exp: 4e9, ...claims }),
})
const jwtAgent = (...svids: object[]) =>
  start({ FetchX509SVID: sends(issuer.message([a])), FetchJWTSVID: () => encode('JWTSVIDResponse', { svids }) })
const validator = (answer: object) =>
  start({ FetchX509SVID: sends(issuer.message([a])), ValidateJWTSVID: () => encode('ValidateJWTSVIDResponse', answer) })
const x509Bundles = (bundles: Record<string, Uint8Array>) => encode('X509BundlesResponse', { bundles })
const jwtBundles = (bundles: Record<string, object>) =>
  encode('JWTBundlesResponse', {
    bundles: Object.fromEntries(
      Object.entries(bundles).map(([key, value]) => [key, Buffer.from(JSON.stringify(value))]),
    ),
  })
const jwk = (change: object = {}) => ({ kid: 'k', ...a.leaf.publicKey.export({ format: 'jwk' }), ...change })

testSection(workloadEndpointSection, (row) => {
  const address = (id: string, accepted: readonly string[], refused: readonly string[]) => {
    for (const text of accepted) row(id).accepts(JSON.stringify(text), () => void parseEndpoint(text))
    for (const text of refused) row(id).refuses(JSON.stringify(text), 'ERR_ENDPOINT_INVALID', () => parseEndpoint(text))
  }

  row('WEP-02')
    .accepts('an agent that speaks gRPC', async () => {
      const { client } = await start({ FetchX509SVID: sends(issuer.message([a])) })
      await client.fetchX509Context()
    })
    .refuses('what listens and speaks HTTP/1', 'ERR_WORKLOAD_API_UNAVAILABLE', async () => {
      const server = await startRawServer(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))
      cleanups.push(server.close)
      await using client = new WorkloadApiClient({ endpoint: server.endpoint, connectTimeoutMs: 300 })
      await client.fetchX509Context()
    })

  const sentMetadata = async () => {
    const { agent, client } = await start({ FetchX509SVID: sends(issuer.message([a])) })
    await client.fetchX509Context()
    await client.fetchX509Context()
    return agent.seen.map(({ metadata }) => metadata)
  }
  row('WEP-05')
    .accepts('one value, and it is true', async () => {
      for (const metadata of await sentMetadata()) expect(metadata['workload.spiffe.io']).toEqual(['true'])
    })
    .denies('a request without it, or with two', async () =>
      (await sentMetadata()).some((metadata) => metadata['workload.spiffe.io']?.length !== 1),
    )

  row('WEP-08')
    .accepts('an agent without TLS, over TCP too', async () => {
      const agent = await ScriptedAgent.start({ FetchX509SVID: sends(issuer.message([a])) }, { tcp: true })
      cleanups.push(() => agent.close())
      await using client = new WorkloadApiClient({ endpoint: agent.tcpEndpoint })
      await client.fetchX509Context()
    })
    .denies('a TLS record as its first bytes', async () => {
      const server = await startRawServer()
      cleanups.push(server.close)
      await using client = new WorkloadApiClient({ endpoint: server.endpoint })
      await client.fetchX509Context({ timeoutMs: 200 }).catch(() => undefined)
      expect(server.received().subarray(0, 3).toString()).toBe('PRI')
      return server.received()[0] === 0x16
    })

  row('WEP-09')
    .accepts('the variable', () => {
      expect(resolveEndpoint(undefined, { SPIFFE_ENDPOINT_SOCKET: 'unix:///a' })).toMatchObject({ path: '/a' })
    })
    .refuses('neither option nor variable', 'ERR_ENDPOINT_NOT_CONFIGURED', () => resolveEndpoint(undefined, {}))
  row('WEP-10')
    .accepts('the option beside the variable', () => {
      expect(resolveEndpoint('unix:///b', { SPIFFE_ENDPOINT_SOCKET: 'unix:///a' })).toMatchObject({ path: '/b' })
    })
    .refuses('a wrong option, though the variable is right', 'ERR_ENDPOINT_INVALID', () =>
      resolveEndpoint('/b', { SPIFFE_ENDPOINT_SOCKET: 'unix:///a' }),
    )
  address(
    'WEP-11',
    ['unix:///run/a.sock', 'tcp://1.2.3.4:5', 'TCP://1.2.3.4:5'],
    ['/run/a.sock', 'http://1.2.3.4:5', 'blah', ''],
  )
  address(
    'WEP-12',
    ['unix:///run/a.sock', 'unix:/run/a.sock'],
    ['unix://foo', 'unix://localhost/a.sock', 'unix://u@h/a'],
  )
  address(
    'WEP-13',
    ['unix:///a', 'unix:///a%20b', 'unix:///a/../b'],
    ['unix:', 'unix://', 'unix:a.sock', 'unix:run/a.sock', 'unix:///'],
  )
  address('WEP-14', ['unix:///a'], ['unix:///a?x', 'unix:///a#f', 'unix:///a?', 'unix:///a#'])
  address(
    'WEP-15',
    ['tcp://127.0.0.1:8000', 'tcp://[::1]:8000'],
    ['tcp://localhost:8000', 'tcp://256.1.1.1:5', 'tcp://01.2.3.4:5', 'tcp://::1:5'],
  )
  address(
    'WEP-16',
    ['tcp://1.2.3.4:1', 'tcp://1.2.3.4:65535'],
    ['tcp://1.2.3.4', 'tcp://1.2.3.4:', 'tcp://1.2.3.4:0', 'tcp://1.2.3.4:65536', 'tcp://1.2.3.4:abc'],
  )
  address(
    'WEP-17',
    ['tcp://127.0.0.1:8000'],
    [
      'tcp://127.0.0.1:8000/foo',
      'tcp://127.0.0.1:8000/',
      'tcp://127.0.0.1:8000?',
      'tcp://127.0.0.1:8000#f',
      'tcp://u@127.0.0.1:8000',
    ],
  )

  for (const [id, code, expected] of [
    ['WEP-21', status.INVALID_ARGUMENT, 'ERR_WORKLOAD_API_REFUSED'],
    ['WEP-26', status.UNIMPLEMENTED, 'ERR_WORKLOAD_API_UNIMPLEMENTED'],
  ] as const)
    row(id)
      .accepts('the answers before it', async () => {
        const { client } = await start({
          FetchX509Bundles: sends(x509Bundles({ 'spiffe://td': issuer.bundleDer })),
          FetchX509SVID: sends(issuer.message([a])),
        })
        const updates = client.watchX509Bundles()
        expect((await updates.next()).value?.size).toBe(1)
        await updates.return?.()
      })
      .refuses('to ask again', expected, async () => {
        const { agent, client } = await start({
          FetchX509SVID: sends(issuer.message([a])),
          FetchX509Bundles: (call) => refuse(call, { code, details: 'no' }),
        })
        try {
          await client.watchX509Bundles().next()
        } finally {
          expect(agent.count('FetchX509Bundles')).toBe(1)
        }
      })

  for (const [id, answer] of [
    ['WEP-23', { code: status.UNAVAILABLE, details: 'starting' }],
    ['WEP-25', denied],
  ] as const)
    row(id)
      .accepts('a later success', async () => {
        const { source } = await open({
          FetchX509SVID: inTurn(
            (call) => refuse(call, answer),
            (call) => refuse(call, answer),
            sends(issuer.message([a])),
          ),
        })
        expect(source.getX509Svid().equals(a)).toBe(true)
      })
      .denies('a tight loop', async () => {
        const { agent, client } = await start({ FetchX509SVID: (call) => refuse(call, answer) })
        const updates = client.watchX509Context({ signal: AbortSignal.timeout(450) })
        await updates.next().catch(() => undefined)
        expect(agent.count('FetchX509SVID')).toBeGreaterThan(1)
        return agent.count('FetchX509SVID') > 6
      })

  const asked = async () => {
    const { agent, client } = await start({ FetchX509SVID: sends(issuer.message([a])) })
    await client.fetchX509Context()
    return agent.seen.map(({ method }) => method)
  }
  row('WEP-30')
    .accepts('an agent without reflection', async () => expect(await asked()).toEqual(['FetchX509SVID']))
    .denies('any other call', async () => (await asked()).some((method) => method !== 'FetchX509SVID'))
})

testSection(workloadApiSection, (row) => {
  row('WAPI-01')
    .accepts('both profiles', async () => {
      const { client } = await jwtAgent(entry('/a'))
      expect((await client.fetchX509Context()).defaultSvid.equals(a)).toBe(true)
      expect((await client.fetchJwtSvid('x')).id.toString()).toBe('spiffe://td/a')
    })
    .refuses('a profile that the operator switched off', 'ERR_WORKLOAD_API_UNIMPLEMENTED', async () => {
      const { client } = await start({ FetchX509SVID: sends(issuer.message([a])) })
      await client.fetchJwtSvid('x')
    })

  row('WAPI-04')
    .accepts('paths without a package', () => {
      expect(Object.values(standardDialect.paths)).toEqual(
        ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTSVID', 'FetchJWTBundles', 'ValidateJWTSVID'].map(
          (name) => `/SpiffeWorkloadAPI/${name}`,
        ),
      )
    })
    .denies('a package in any path', () => Object.values(standardDialect.paths).some((path) => path.includes('.')))

  row('WAPI-05')
    .accepts('two updates through one stream', async () => {
      const { agent, source } = await open({ FetchX509SVID: sends(issuer.message([a])) })
      agent.send(issuer.message([b]))
      await expect.poll(() => source.getX509Svid().equals(b)).toBe(true)
      expect(agent.count('FetchX509SVID')).toBe(1)
    })
    .denies('a second connection for the second update', async () => {
      const { agent, source } = await open({ FetchX509SVID: sends(issuer.message([a])) })
      agent.send(issuer.message([b]))
      await expect.poll(() => source.getX509Svid().equals(b)).toBe(true)
      return new Set(agent.seen.map(({ connection }) => connection)).size > 1
    })

  const reopened = async () => {
    const { agent, client } = await start({
      FetchX509SVID: inTurn(
        (call) => {
          call.write(issuer.message([a]))
          call.end()
        },
        sends(issuer.message([b])),
      ),
    })
    const delays: number[] = []
    for await (const context of client.watchX509Context({
      onEvent: (event) => event.type === 'retry' && delays.push(event.delayMs),
    }))
      if (context.defaultSvid.equals(b)) break
    expect(agent.count('FetchX509SVID')).toBe(2)
    return delays
  }
  row('WAPI-06')
    .accepts('a new stream at once', async () => expect(await reopened()).toEqual([0]))
    .denies('a delay before it', async () => (await reopened()).some((ms) => ms > 0))

  const federated = { 'spiffe://td2': foreign.bundleDer }
  const afterRedaction = async () => {
    const { agent, source } = await open({ FetchX509SVID: sends(issuer.message([a], federated)) })
    const before = source.getX509Bundle(td2)
    agent.send(issuer.message([b]))
    await expect.poll(() => source.getX509Svid().equals(b)).toBe(true)
    return { before, after: source.getX509Bundle(td2) }
  }
  for (const id of ['WAPI-10', 'WAPI-11'])
    row(id)
      .accepts('a federated bundle as long as it is sent', async () => {
        expect((await afterRedaction()).before?.authorities).toHaveLength(1)
      })
      .denies('it after a message without it', async () => (await afterRedaction()).after !== undefined)

  row('WAPI-13').accepts('an entry with every field', () => void decodeEntry({}))
  row('WAPI-13').refuses('a message without SVIDs', invalid, () => decode(messageOf([])))
  const none = new Uint8Array(0)
  for (const field of [{ spiffe_id: '' }, { x509_svid: none }, { x509_svid_key: none }, { bundle: none }])
    row('WAPI-13').refuses(`an entry without ${Object.keys(field).join()}`, invalid, () => decodeEntry(field))
  row('WAPI-13').accepts('the earlier state and the same stream after a message that was discarded', async () => {
    const { agent, source } = await open({ FetchX509SVID: sends(issuer.message([a])) })
    agent.send(messageOf([]))
    await expect.poll(() => source.status().messages.discarded).toBe(1)
    expect(source.getX509Svid().equals(a)).toBe(true)
    expect(agent.count('FetchX509SVID')).toBe(1)
  })

  row('WAPI-13')
    .accepts('a message with a bundle of either kind', async () => {
      const { client } = await start({
        FetchX509SVID: sends(issuer.message([a])),
        FetchX509Bundles: sends(x509Bundles({ 'spiffe://td': issuer.bundleDer })),
        FetchJWTBundles: sends(jwtBundles({ 'spiffe://td': { keys: [jwk()] } })),
      })
      expect([(await client.fetchX509Bundles()).size, (await client.fetchJwtBundles()).size]).toEqual([1, 1])
    })
    .refuses('a message without X.509 bundles', invalid, async () => {
      const { client } = await start({
        FetchX509SVID: sends(issuer.message([a])),
        FetchX509Bundles: sends(x509Bundles({})),
      })
      await client.fetchX509Bundles()
    })
    .refuses('a message without JWT bundles', invalid, async () => {
      const { client } = await start({
        FetchX509SVID: sends(issuer.message([a])),
        FetchJWTBundles: sends(jwtBundles({})),
      })
      await client.fetchJwtBundles()
    })
  for (const [only, method, some, empty] of [
    ['x509', 'FetchX509Bundles', x509Bundles({ 'spiffe://td': issuer.bundleDer }), x509Bundles({})],
    ['jwt', 'FetchJWTBundles', jwtBundles({ 'spiffe://td': { keys: [jwk()] } }), jwtBundles({})],
  ] as const)
    row('WAPI-13').accepts(`the earlier ${only} bundles and the same stream after a message without any`, async () => {
      const { agent, source } = await openBundles({ [method]: sends(some) }, only)
      agent.send(empty)
      await expect.poll(() => source.status()[only]?.messages.discarded).toBe(1)
      const held = only === 'x509' ? source.getX509Bundle(td) : source.getJwtBundle(td)
      expect(held?.authorities).toHaveLength(1)
      expect(agent.count(method)).toBe(1)
    })

  const chain = ({ certificates }: X509Svid) => certificates.map(({ der }) => der)
  row('WAPI-14')
    .accepts('peers of two trust domains, each by its own bundle', async () => {
      const { source } = await open({ FetchX509SVID: sends(issuer.message([a], federated)) })
      expect(verifyX509Svid(chain(ofForeign), source).id.toString()).toBe('spiffe://td2/peer')
      expect(verifyX509Svid(chain(b), source).id.toString()).toBe('spiffe://td/b')
    })
    .refuses('a peer whose bundle the agent did not send', 'ERR_BUNDLE_NOT_FOUND', async () => {
      const { source } = await open({ FetchX509SVID: sends(issuer.message([a])) })
      verifyX509Svid(chain(ofForeign), source)
    })
    .refuses('a peer whose bundle came under another name', 'ERR_BUNDLE_NOT_FOUND', async () => {
      const { source } = await open({
        FetchX509SVID: sends(issuer.message([a], { 'spiffe://td3': foreign.bundleDer })),
      })
      verifyX509Svid(chain(ofForeign), source)
    })
    .refuses('a peer whose name has the bundle of another', 'ERR_X509_CHAIN_UNTRUSTED', async () => {
      const { source } = await open({ FetchX509SVID: sends(issuer.message([a], { 'spiffe://td2': issuer.bundleDer })) })
      verifyX509Svid(chain(ofForeign), source)
    })

  row('WAPI-16')
    .accepts('X.509 authorities in an X509BundleSet', () => {
      expect(decodeEntry({}).bundles).toBeInstanceOf(X509BundleSet)
    })
    .denies('JWT authorities in it', () => 'getJwtBundle' in decodeEntry({}).bundles)

  const pem = Buffer.from(a.certificatesPem())
  row('WAPI-17')
    .accepts('a leaf with its issuer behind it', () => {
      const chain = Buffer.concat([a.certificatesDer(), issuer.bundleDer])
      expect(decodeEntry({ x509_svid: chain }).defaultSvid.certificates).toHaveLength(2)
    })
    .refuses('PEM', invalid, () => decodeEntry({ x509_svid: pem }))
    .refuses('the issuer first', invalid, () =>
      decodeEntry({ x509_svid: Buffer.concat([issuer.bundleDer, a.certificatesDer()]) }),
    )
    .refuses('bytes behind the last certificate', invalid, () =>
      decodeEntry({ x509_svid: Buffer.concat([a.certificatesDer(), Buffer.alloc(1)]) }),
    )

  const exported = (type: 'sec1' | 'pkcs8', more: object = {}) =>
    a.privateKey.export({ type, format: 'der', ...more } as { type: 'pkcs8'; format: 'der' })
  row('WAPI-18')
    .accepts('PKCS#8', () => void decodeEntry({ x509_svid_key: exported('pkcs8') }))
    .refuses('SEC1', invalid, () => decodeEntry({ x509_svid_key: exported('sec1') }))
    .refuses('an encrypted key', invalid, () =>
      decodeEntry({ x509_svid_key: exported('pkcs8', { cipher: 'aes-128-cbc', passphrase: 'x' }) }),
    )
    .refuses('PEM', invalid, () => decodeEntry({ x509_svid_key: Buffer.from(a.privateKeyPem()) }))
    .refuses('the key of another SVID', invalid, () => decodeEntry({ x509_svid_key: b.privateKeyDer() }))

  row('WAPI-19')
    .accepts('two roots, one behind the other', () => {
      const bundle = Buffer.concat([issuer.bundleDer, foreign.bundleDer])
      expect(decodeEntry({ bundle }).bundles.getX509Bundle(td)?.authorities).toHaveLength(2)
    })
    .accepts('no bytes for a federated trust domain, as an empty bundle', () => {
      const { bundles } = decode(issuer.message([a], { 'spiffe://td2': none })).value
      expect(bundles.getX509Bundle(td2)?.authorities).toEqual([])
    })
    .accepts('rubbish for a federated trust domain, as an empty bundle, with a warning that names the domain', () => {
      const { value, warnings } = decode(issuer.message([a], { 'spiffe://td2': Buffer.from('rubbish') }))
      expect(value.bundles.getX509Bundle(td2)?.authorities).toEqual([])
      expect(warnings).toEqual([expect.stringContaining('td2')])
    })
    .refuses('PEM', invalid, () => decodeEntry({ bundle: Buffer.from(issuer.authority.bundle().toPem()) }))
    .refuses('a leaf', invalid, () => decodeEntry({ bundle: a.certificatesDer() }))

  const keyed = (...keys: string[]) =>
    decode(issuer.message([a], Object.fromEntries(keys.map((key) => [key, foreign.bundleDer])))).value.bundles
  row('WAPI-20')
    .accepts('spiffe://td2', () => expect(keyed('spiffe://td2').getX509Bundle(td2)).toBeDefined())
    .accepts('the bare name', () => expect(keyed('td2').getX509Bundle(td2)).toBeDefined())
    .refuses('a path', invalid, () => keyed('spiffe://td2/x'))
    .refuses('capitals', invalid, () => keyed('spiffe://TD2'))
    .refuses('nothing', invalid, () => keyed(''))
    .refuses('both forms at once', invalid, () => keyed('td2', 'spiffe://td2'))

  const crl = Buffer.from('3003020101', 'hex')
  row('WAPI-21')
    .accepts('a list, and keeps it with the bundles', () => {
      const { bundles } = decode(messageOf([issuer.entry(a)], federated, [crl])).value
      for (const bundle of bundles) expect(bundle.crls).toEqual([new Uint8Array(crl)])
    })
    .denies('to invent one', () => (decodeEntry({}).bundles.getX509Bundle(td)?.crls.length ?? 1) > 0)

  const hinted = async (...hints: string[]) => {
    const svids = await Promise.all(hints.map((_, index) => issuer.issue(`/${index}`)))
    return decode(messageOf(svids.map((svid, index) => issuer.entry(svid, { hint: hints[index] ?? '' }))))
  }
  const paths = async (...hints: string[]) => (await hinted(...hints)).value.svids.map(({ id }) => id.path)
  row('WAPI-23')
    .accepts('internal, external and two without a hint', async () => {
      expect(await paths('internal', 'external', '', '')).toEqual(['/0', '/1', '/2', '/3'])
    })
    .accepts('four of five, where two have one hint', async () => {
      const { value, warnings } = await hinted('internal', 'external', 'internal', '', '')
      expect(value.svids.map(({ id }) => id.path)).toEqual(['/0', '/1', '/3', '/4'])
      expect(warnings).toHaveLength(1)
    })
    .denies('the second of one hint', async () => (await paths('x', 'x')).includes('/1'))

  row('WAPI-25')
    .accepts('a stream after a denial', async () => {
      const { source } = await open({
        FetchX509SVID: inTurn((call) => refuse(call, denied), sends(issuer.message([a]))),
      })
      expect(source.status().state).toBe('ready')
    })
    .refuses('to call it an identity', 'ERR_WORKLOAD_API_DENIED', async () => {
      const { client } = await start({ FetchX509SVID: (call) => refuse(call, denied) })
      await client.fetchX509Context()
    })

  row('WAPI-26')
    .accepts('an SVID as long as it is sent', async () => {
      const { agent, source } = await open({ FetchX509SVID: sends(issuer.message([a, b])) })
      agent.send(issuer.message([b]))
      await expect.poll(() => source.context.svids.length).toBe(1)
      expect(source.getX509Svid().equals(b)).toBe(true)
    })
    .refuses('it after a denial in mid-stream', 'ERR_SVID_WITHDRAWN', async () => {
      const { agent, source } = await open({
        FetchX509SVID: inTurn(sends(issuer.message([a])), (call) => refuse(call, denied)),
      })
      for (const call of agent.streams) refuse(call, denied)
      await expect.poll(() => source.status().state).toBe('withdrawn')
      source.getX509Svid()
    })

  const x509Redaction = async () => {
    const { agent, client } = await start({
      FetchX509SVID: sends(issuer.message([a])),
      FetchX509Bundles: sends(x509Bundles({ 'spiffe://td': issuer.bundleDer, ...federated })),
    })
    const updates = client.watchX509Bundles()
    const before = (await updates.next()).value
    agent.send(x509Bundles({ 'spiffe://td': issuer.bundleDer }))
    const after = (await updates.next()).value
    await updates.return?.()
    return { before, after }
  }
  row('WAPI-29')
    .accepts('a bundle as long as it is sent', async () => {
      expect((await x509Redaction()).before?.getX509Bundle(td2)).toBeDefined()
    })
    .denies(
      'it after a message without it',
      async () => (await x509Redaction()).after?.getX509Bundle(td2) !== undefined,
    )
    .refuses('all of them after a denial in mid-stream', 'ERR_BUNDLE_NOT_FOUND', async () => {
      const sent = sends(x509Bundles({ 'spiffe://td': issuer.bundleDer }))
      const { agent, source } = await openBundles(
        { FetchX509Bundles: inTurn(sent, (call) => refuse(call, denied)) },
        'x509',
      )
      expect(verifyX509Svid(chain(a), source).id.path).toBe('/a')
      for (const call of agent.streams) refuse(call, denied)
      await expect.poll(() => source.status().state).toBe('withdrawn')
      verifyX509Svid(chain(a), source)
    })

  row('WAPI-30')
    .accepts('a token for all audiences', async () => {
      const { client } = await jwtAgent(entry('/a', { aud: ['x', 'y'] }))
      expect((await client.fetchJwtSvid(['x', 'y'])).audience).toEqual(['x', 'y'])
    })
    .refuses('a token that lacks one', invalid, async () => {
      const { client } = await jwtAgent(entry('/a', { aud: ['x'] }))
      await client.fetchJwtSvid(['x', 'y'])
    })

  row('WAPI-35').accepts('a token of the announced identity', async () => {
    const { client } = await jwtAgent(entry('/a'), entry('/b'))
    expect((await client.fetchJwtSvids('x')).map(({ id }) => id.path)).toEqual(['/a', '/b'])
  })
  for (const [what, svid, spiffeId] of [
    ['a token of another subject', entry('/a', { sub: 'spiffe://td/b' }), undefined],
    ['another identity than asked for', entry('/a'), 'spiffe://td/b'],
    ['an expired token', entry('/a', { exp: 1 }), undefined],
    ['a token without exp', entry('/a', { exp: undefined }), undefined],
    ['text that is no token', { ...entry('/a'), svid: 'a.b' }, undefined],
    ['no token', { ...entry('/a'), svid: '' }, undefined],
    ['no SPIFFE ID', { ...entry('/a'), spiffeId: '' }, undefined],
  ] as const)
    row('WAPI-35').refuses(what, invalid, async () => (await jwtAgent(svid)).client.fetchJwtSvid('x', { spiffeId }))
  row('WAPI-35').refuses('an empty answer', invalid, async () => (await jwtAgent()).client.fetchJwtSvids('x'))

  const keysOf = async (...keys: object[]) => {
    const { client } = await start({
      FetchX509SVID: sends(issuer.message([a])),
      FetchJWTBundles: sends(jwtBundles({ 'spiffe://td': { keys } })),
    })
    return (await client.fetchJwtBundles()).getJwtBundle(td)?.authorities.map(({ keyId }) => keyId)
  }
  row('WAPI-38')
    .accepts('a key without use', async () => expect(await keysOf(jwk())).toEqual(['k']))
    .denies('a key for X509-SVIDs', async () => (await keysOf(jwk({ use: 'x509-svid' })))?.includes('k'))
    .refuses('a bundle that is not a JWK Set', invalid, async () => {
      const { client } = await start({
        FetchX509SVID: sends(issuer.message([a])),
        FetchJWTBundles: sends(jwtBundles({ 'spiffe://td': [] })),
      })
      await client.fetchJwtBundles()
    })
  row('WAPI-39')
    .accepts('JWT authorities in a JwtBundleSet', async () => {
      const { client } = await start({
        FetchX509SVID: sends(issuer.message([a])),
        FetchJWTBundles: sends(jwtBundles({ 'spiffe://td': { keys: [jwk()] } })),
      })
      expect(await client.fetchJwtBundles()).toBeInstanceOf(JwtBundleSet)
    })
    .denies('X.509 authorities in it', () => 'getX509Bundle' in new JwtBundleSet([]))

  const jwtRedaction = async () => {
    const { agent, client } = await start({
      FetchX509SVID: sends(issuer.message([a])),
      FetchJWTBundles: sends(jwtBundles({ 'spiffe://td': { keys: [jwk()] }, 'spiffe://td2': { keys: [jwk()] } })),
    })
    const updates = client.watchJwtBundles()
    const before = (await updates.next()).value
    for (const call of agent.streams) call.write(jwtBundles({ 'spiffe://td': { keys: [jwk()] } }))
    const after = (await updates.next()).value
    await updates.return?.()
    return { before, after }
  }
  row('WAPI-41')
    .accepts('a bundle as long as it is sent', async () => {
      expect((await jwtRedaction()).before?.getJwtBundle(td2)).toBeDefined()
    })
    .denies('it after a message without it', async () => (await jwtRedaction()).after?.getJwtBundle(td2) !== undefined)
    .refuses('all of them after a denial in mid-stream', 'ERR_BUNDLE_NOT_FOUND', async () => {
      const signer = new TestTrustDomain('td')
      const sent = sends(jwtBundles({ 'spiffe://td': signer.jwtBundle() }))
      const { agent, source } = await openBundles(
        { FetchJWTBundles: inTurn(sent, (call) => refuse(call, denied)) },
        'jwt',
      )
      expect((await verifyJwtSvid(signer.token(), source, { audience: 'a' })).id.path).toBe('/w')
      for (const call of agent.streams) refuse(call, denied)
      await expect.poll(() => source.status().state).toBe('withdrawn')
      await verifyJwtSvid(signer.token(), source, { audience: 'a' })
    })

  const token = entry('/a').svid
  const claims = { fields: { sub: { stringValue: 'spiffe://td/a' } } }
  row('WAPI-44')
    .accepts('an answer with both', async () => {
      const { client } = await validator({ spiffeId: 'spiffe://td/a', claims })
      expect((await client.validateJwtSvid(token, 'x')).id.path).toBe('/a')
    })
    .refuses('no SPIFFE ID', invalid, async () => (await validator({ claims })).client.validateJwtSvid(token, 'x'))
    .refuses('no claims', invalid, async () =>
      (await validator({ spiffeId: 'spiffe://td/a' })).client.validateJwtSvid(token, 'x'),
    )
    .refuses('a SPIFFE ID that is none', invalid, async () =>
      (await validator({ spiffeId: 'foo', claims })).client.validateJwtSvid(token, 'x'),
    )

  row('WAPI-45')
    .accepts('what the agent says, whatever the token says', async () => {
      const { client } = await validator({ spiffeId: 'spiffe://td/a', claims })
      const { id } = await client.validateJwtSvid(entry('/b').svid, 'x')
      expect(id.path).toBe('/a')
    })
    .refuses('a token that the agent refuses', 'ERR_WORKLOAD_API_REFUSED', async () => {
      const { client } = await start({
        FetchX509SVID: sends(issuer.message([a])),
        ValidateJWTSVID: () => new Refusal(status.INVALID_ARGUMENT, 'wrong audience'),
      })
      await client.validateJwtSvid(token, 'x')
    })

  row('WAPI-53')
    .accepts('the first entry', () => {
      const { value } = decode(issuer.message([b, a]))
      expect(value.defaultSvid.equals(b)).toBe(true)
      expect(value.svids.map(({ id }) => id.path)).toEqual(['/b', '/a'])
    })
    .denies('any other as the default', () => decode(issuer.message([a, b])).value.defaultSvid.equals(b))

  const longHint = (length: number) => decode(messageOf([issuer.entry(a, { hint: 'h'.repeat(length) })]))
  row('WAPI-54')
    .accepts('a hint of 1024 bytes', () => expect(longHint(1024).value.defaultSvid.hint).toHaveLength(1024))
    .denies('a hint of 1025 bytes', () => {
      const { value, warnings } = longHint(1025)
      expect(warnings).toHaveLength(1)
      return value.defaultSvid.hint !== ''
    })

  const pick = async (hint: string) => {
    const { agent } = await start({ FetchX509SVID: sends(messageOf([issuer.entry(a, { hint: 'in' })])) })
    await using source = await X509Source.open({
      endpoint: agent.endpoint,
      initialTimeoutMs: 1_000,
      pickSvid: { hint },
    })
    return source.getX509Svid()
  }
  row('WAPI-55')
    .accepts('a hint that is there', async () => expect((await pick('in')).id.path).toBe('/a'))
    .refuses('one that is not', 'ERR_SVID_NOT_FOUND', () => pick('out'))

  row('WAPI-56')
    .accepts('the SPIFFE ID of the certificate', () => void decodeEntry({ spiffe_id: 'spiffe://td/a' }))
    .refuses('another one', invalid, () => decodeEntry({ spiffe_id: 'spiffe://td/b' }))
    .refuses('the same in capitals', invalid, () => decodeEntry({ spiffe_id: 'SPIFFE://td/a' }))

  const usurped = () => decode(issuer.message([a], { 'spiffe://td': foreign.bundleDer }))
  row('WAPI-57')
    .accepts('the own bundle, with a warning for the other', () => {
      const { value, warnings } = usurped()
      expect(value.bundles.getX509Bundle(td)?.equals(issuer.authority.bundle())).toBe(true)
      expect(warnings).toHaveLength(1)
    })
    .denies('the roots of a federated entry in its place', () => {
      const roots = usurped().value.bundles.getX509Bundle(td)?.authorities ?? []
      return roots.some((root) => foreign.authority.bundle().authorities.some((other) => other.equals(root)))
    })
    .denies('the bundle of a later SVID in its place', () => {
      const { value, warnings } = decode(messageOf([issuer.entry(a), issuer.entry(b, { bundle: foreign.bundleDer })]))
      expect(warnings).toHaveLength(1)
      return !value.bundles.getX509Bundle(td)?.equals(issuer.authority.bundle())
    })
})
