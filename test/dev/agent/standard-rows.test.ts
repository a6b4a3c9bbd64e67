import { X509Certificate, createPrivateKey } from 'node:crypto'
import { Client, credentials, status } from '@grpc/grpc-js'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { expect, test } from 'vitest'
import { Board } from '../../../src/dev/agent/board.js'
import { endpointOf, tcpAddress } from '../../../src/dev/agent/listen-address.js'
import { SocketServer } from '../../../src/dev/agent/socket-server.js'
import { standardDialect } from '../../../src/dev/agent/standard-dialect.js'
import { workloadService } from '../../../src/dev/agent/workload-service.js'
import { Certificate } from '../../../src/encoding/index.js'
import { marked, StreamReader } from './independent-client.js'
import { afterwards, connect, startAgent } from './scope.js'

const methods = [
  'FetchX509SVID',
  'FetchX509Bundles',
  'FetchJWTSVID',
  'FetchJWTBundles',
  'ValidateJWTSVID',
  'FetchWITSVID',
  'FetchWITBundles',
]
const web = 'spiffe://example.org/web'
const published = loadSync('proto/workload.proto')['SpiffeWorkloadAPI'] as ServiceDefinition

/** Calls whatever method it is told, and gives out answers as they are on the wire. */
function connectRaw(endpoint: string) {
  const client = new Client(endpoint, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
  afterwards(() => client.close())
  const path = (name: string) => `/SpiffeWorkloadAPI/${name}`
  const write = (name: string) => (published[name] ?? published['FetchJWTSVID']!).requestSerialize
  const read = (bytes: Buffer) => bytes
  return {
    first: (name: string) =>
      new StreamReader(client.makeServerStreamRequest(path(name), write(name), read, {}, marked('true'))).next(),
    unary: (name: string, request: object) =>
      new Promise<Buffer>((resolve, reject) => {
        client.makeUnaryRequest(path(name), write(name), read, request, marked('true'), (error, bytes) => {
          if (error) reject(error)
          else resolve(bytes!)
        })
      }),
  }
}

for (const [reason, values] of [
  ['is absent', []],
  ['is True', ['True']],
  ['is TRUE', ['TRUE']],
  ['is false', ['false']],
  ['is 1', ['1']],
  ['is empty', ['']],
  ['comes twice', ['true', 'true']],
  ['says true and false', ['true', 'false']],
] as const) {
  test(`WEP-06 WEP-07 every call is refused with INVALID_ARGUMENT when the security header ${reason}`, async () => {
    const agent = await startAgent()
    const { endpoint } = await agent.workload(web)
    const client = connect(endpoint)
    for (const method of methods) {
      expect([method, await client.statusOf(method, {}, marked(...values))]).toEqual([method, status.INVALID_ARGUMENT])
    }
  })
}

test('WEP-07 the header is judged before the identity of the caller', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  workload.withdraw()
  const client = connect(workload.endpoint)
  expect(await client.statusOf('FetchX509SVID', {}, marked())).toBe(status.INVALID_ARGUMENT)
  expect(await client.statusOf('FetchX509SVID')).toBe(status.PERMISSION_DENIED)
})

test('WAPI-15 WAPI-17 WAPI-18 WAPI-19 the X509-SVID message holds DER that node:crypto reads and that fits together', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web)
  const message = await connect(endpoint).x509Svids().next()
  expect(message.svids).toHaveLength(1)
  const [svid] = message.svids
  const leaf = new X509Certificate(svid!.x509_svid)
  const [root] = Certificate.parseAll(svid!.bundle)
  const key = createPrivateKey({ key: svid!.x509_svid_key, format: 'der', type: 'pkcs8' })
  expect(svid!.spiffe_id).toBe(web)
  expect(leaf.subjectAltName).toBe(`URI:${web}`)
  expect(leaf.checkPrivateKey(key)).toBe(true)
  expect(leaf.verify(new X509Certificate(root!.der).publicKey)).toBe(true)
  // A PEM text, or anything behind the last certificate, would not come back whole.
  expect(Buffer.concat(Certificate.parseAll(svid!.x509_svid).map(({ der }) => der))).toEqual(svid!.x509_svid)
  expect(message.federated_bundles).toEqual({})
})

test('WAPI-15 WAPI-53 several identities of one socket are several entries, in order, with their hints', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web, {
    hint: 'internal',
    also: [{ id: 'spiffe://example.org/web-public', hint: 'external' }, { id: 'spiffe://example.org/batch' }],
  })
  const { svids } = await connect(endpoint).x509Svids().next()
  expect(svids.map(({ spiffe_id, hint }) => [spiffe_id, hint])).toEqual([
    [web, 'internal'],
    ['spiffe://example.org/web-public', 'external'],
    ['spiffe://example.org/batch', ''],
  ])
})

test('WAPI-20 WAPI-27 bundles are keyed by the trust domain ID and hold the own trust domain', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web)
  const { bundles } = await connect(endpoint).x509Bundles().next()
  expect(Object.keys(bundles)).toEqual(['spiffe://example.org'])
  expect(bundles['spiffe://example.org']).toEqual(agent.bundle.toDer())
})

test('WAPI-09 each stream gets its first message by itself, on the second and third connection too', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web)
  for (let n = 0; n < 3; n++) {
    const client = connect(endpoint)
    expect((await client.x509Svids().next()).svids).toHaveLength(1)
    expect(Object.keys((await client.x509Bundles().next()).bundles)).toHaveLength(1)
  }
})

test('WAPI-07 WAPI-08 a rotation sends the whole state again, and only to the stream that it concerns', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web, { also: [{ id: 'spiffe://example.org/batch' }] })
  const client = connect(workload.endpoint)
  const svids = client.x509Svids()
  const bundles = client.x509Bundles()
  const before = await svids.next()
  await bundles.next()
  await workload.rotate()
  const after = await svids.next()
  expect(after.svids.map(({ spiffe_id }) => spiffe_id)).toEqual(before.svids.map(({ spiffe_id }) => spiffe_id))
  for (const [index, { x509_svid }] of after.svids.entries()) {
    expect(x509_svid.equals(before.svids[index]!.x509_svid)).toBe(false)
  }
  // The roots did not change. What comes next on the bundle stream is the federation, not the rotation.
  const partner = await startAgent({ trustDomain: 'partner.example' })
  agent.federateWith(partner)
  expect(Object.keys((await bundles.next()).bundles)).toEqual(['spiffe://example.org', 'spiffe://partner.example'])
})

test('WEP-24 WAPI-24 WAPI-28 a workload without identity is denied, at once and in mid-stream, and served again', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const client = connect(workload.endpoint)
  const streams = [client.x509Svids(), client.x509Bundles()]
  for (const stream of streams) await stream.next()
  workload.withdraw()
  for (const stream of streams) {
    expect(await stream.status).toMatchObject({ code: status.PERMISSION_DENIED, details: 'no identity issued' })
  }
  expect(await client.statusOf('FetchX509SVID')).toBe(status.PERMISSION_DENIED)
  expect(await client.statusOf('FetchX509Bundles')).toBe(status.PERMISSION_DENIED)
  await workload.restore()
  expect((await client.x509Svids().next()).svids[0]!.spiffe_id).toBe(web)
})

test('WEP-24 removing the last identity of a socket denies it', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const stream = connect(workload.endpoint).x509Svids()
  await stream.next()
  workload.remove(web)
  expect((await stream.status).code).toBe(status.PERMISSION_DENIED)
})

test('WEP-22 streams end with UNAVAILABLE when the agent closes', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web)
  const stream = connect(endpoint).x509Svids()
  await stream.next()
  await agent.close()
  expect((await stream.status).code).toBe(status.UNAVAILABLE)
})

test('WEP-22 a socket answers UNAVAILABLE until its identity is issued', async () => {
  const board = new Board()
  const never = () => Promise.reject(new Error('not asked'))
  const server = new SocketServer(tcpAddress({}), {
    services: [workloadService(standardDialect, board, { sign: never, validate: never })],
    interceptors: [],
    unref: false,
  })
  await server.listen()
  afterwards(() => server.close())
  const client = connect(endpointOf(server.address))
  for (const method of methods.slice(0, 5)) expect(await client.statusOf(method)).toBe(status.UNAVAILABLE)
})

test('WAPI-02 WAPI-47 the WIT calls are UNIMPLEMENTED', async () => {
  const agent = await startAgent()
  const client = connect((await agent.workload(web)).endpoint)
  expect(await client.statusOf('FetchWITSVID')).toBe(status.UNIMPLEMENTED)
  expect(await client.statusOf('FetchWITBundles')).toBe(status.UNIMPLEMENTED)
})

test('WEP-03 WEP-08 WEP-18 the default is a Unix socket, without TLS and without credentials', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web)
  expect(endpoint).toMatch(/^unix:\/\/\/.+\/web\.sock$/)
  expect(await connect(endpoint).x509Svids().next()).toBeDefined()
})

test('WEP-19 WEP-20 the socket alone says who calls: each gets its identity for the same empty request', async () => {
  const agent = await startAgent()
  for (const id of [web, 'spiffe://example.org/batch']) {
    const { endpoint } = await agent.workload(id)
    const { svids } = await connect(endpoint).x509Svids().next()
    expect(svids.map(({ spiffe_id }) => spiffe_id)).toEqual([id])
  }
})

test('WEP-27 the service has the methods of the standard, at their paths, and no other', async () => {
  const never = () => Promise.reject(new Error('not asked'))
  const { definition, handlers } = workloadService(standardDialect, new Board(), { sign: never, validate: never })
  expect(Object.values(definition).map(({ path }) => path)).toEqual(methods.map((name) => `/SpiffeWorkloadAPI/${name}`))
  expect(Object.keys(handlers).filter((name) => !methods.includes(name))).toEqual([])
  const agent = await startAgent()
  const client = connectRaw((await agent.workload(web)).endpoint)
  await expect(client.unary('Extra', {})).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
})

test('WAPI-03 no answer holds a field that the published API has not', async () => {
  const agent = await startAgent()
  agent.federateWith(await startAgent({ trustDomain: 'partner.example' }))
  const { endpoint } = await agent.workload(web, { hint: 'internal' })
  const { svids } = await connect(endpoint).unary<{ svids: { svid: string }[] }>('FetchJWTSVID', { audience: ['a'] })
  const raw = connectRaw(endpoint)
  /** Read and written again by somebody else's codec, which drops what it does not know. */
  const known = (name: string, bytes: Buffer) => {
    const { responseSerialize, responseDeserialize } = published[name]!
    return responseSerialize(responseDeserialize(bytes)).length
  }
  for (const [name, bytes] of [
    ['FetchX509SVID', await raw.first('FetchX509SVID')],
    ['FetchX509Bundles', await raw.first('FetchX509Bundles')],
    ['FetchJWTBundles', await raw.first('FetchJWTBundles')],
    ['FetchJWTSVID', await raw.unary('FetchJWTSVID', { audience: ['a'] })],
    ['ValidateJWTSVID', await raw.unary('ValidateJWTSVID', { audience: 'a', svid: svids[0]!.svid })],
  ] as const) {
    expect([name, known(name, bytes)]).toEqual([name, bytes.length])
    // Field 31, a number: what would be found.
    expect(known(name, Buffer.concat([bytes, Buffer.of(0xf8, 0x01, 0x01)]))).toBe(bytes.length)
  }
})

for (const host of ['0.0.0.0', '::', '192.168.1.1', '::ffff:10.0.0.1', 'localhost', '']) {
  test(`WEP-01 WEP-04 TCP on ${JSON.stringify(host)} is refused`, async () => {
    const agent = await startAgent()
    await expect(agent.workload(web, { tcp: { host } })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
}

test('WEP-04 TCP on the loopback interface is served', async () => {
  const agent = await startAgent()
  const { endpoint } = await agent.workload(web, { tcp: true })
  expect(endpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/)
  expect((await connect(endpoint).x509Svids().next()).svids[0]!.spiffe_id).toBe(web)
})

test('WAPI-22 WAPI-54 hints are unique on a socket and at most 1024 bytes long', async () => {
  const agent = await startAgent()
  const also = [{ id: 'spiffe://example.org/other', hint: 'same' }]
  await expect(agent.workload(web, { hint: 'same', also })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  await expect(agent.workload(web, { hint: 'x'.repeat(1025) })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  // Bytes count, not characters.
  await expect(agent.workload(web, { hint: 'é'.repeat(513) })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  const { endpoint } = await agent.workload(web, { hint: 'é'.repeat(512) })
  expect((await connect(endpoint).x509Svids().next()).svids[0]!.hint).toHaveLength(512)
})
