import { connect as connectHttp2 } from 'node:http2'
import * as tls from 'node:tls'
import * as grpc from '@grpc/grpc-js'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  callerOfCall,
  createGrpcChannelCredentials,
  serveGrpc,
  type GrpcServerOptions,
} from '../../src/adapters/grpc/index.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { authorizeAny, authorizeMemberOf, type ClientTlsOptions } from '../../src/tls/index.js'
import { codeOf, gullible, listen } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa
let b: TestCa
const serverId = 'spiffe://a.test/server'
const clientId = 'spiffe://a.test/client'

beforeAll(async () => {
  a = await TestCa.create()
  b = await TestCa.create()
})

const text = {
  serialize: (value: string) => Buffer.from(value),
  deserialize: (bytes: Buffer) => bytes.toString(),
}
const echo = {
  path: '/test.Echo/Say',
  requestStream: false,
  responseStream: false,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
} as const
const wait = { ...echo, path: '/test.Echo/Wait' } as const

async function sourceOf(id: string) {
  return new TestSource(await a.svid(id), a.bundle('a.test'), b.bundle('b.test'))
}

async function start(options: Partial<GrpcServerOptions> = {}) {
  const source = await sourceOf(serverId)
  const handled: string[] = []
  const rejected: unknown[] = []
  const server = new grpc.Server()
  let arrived: () => void = () => undefined
  const arrival = new Promise<void>((resolve) => (arrived = resolve))
  const say: grpc.handleUnaryCall<string, string> = (call, done) => {
    const caller = callerOfCall(call)
    handled.push(call.request)
    done(null, `${caller?.id.toString() ?? 'nobody'} ${caller?.certificate.serialNumber ?? ''}`)
  }
  server.addService({ say: echo, wait }, { say, wait: () => arrived() })
  const terminator = serveGrpc(server, source, {
    authorize: clientId,
    onRejected: (error) => rejected.push(codeOf(error)),
    ...options,
  } as GrpcServerOptions)
  onTestFinished(() => server.forceShutdown())
  return { source, handled, rejected, arrival, port: await listen(terminator) }
}

async function newClient(target: string, options: Partial<ClientTlsOptions> = {}, id = clientId) {
  const source = await sourceOf(id)
  const credentials = createGrpcChannelCredentials(source, { authorize: serverId, ...options } as ClientTlsOptions)
  const client = new grpc.Client(target, credentials)
  onTestFinished(() => client.close())
  return { client, source }
}

function call(client: grpc.Client, method: { path: string } = echo): Promise<string> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000
    client.makeUnaryRequest(method.path, text.serialize, text.deserialize, 'hello', { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer ?? ''),
    )
  })
}

describe('gRPC', () => {
  for (const host of ['127.0.0.1', 'localhost'])
    test(`a call to ${host} knows its caller`, async () => {
      const { port } = await start()
      const { client, source } = await newClient(`${host}:${port}`)
      expect(await call(client)).toBe(`${clientId} ${source.getX509Svid().serialNumber}`)
    })

  test('a client behind intermediates of a federated trust domain is proved', async () => {
    const { port } = await start({ authorize: authorizeMemberOf('b.test') })
    const issuer = await TestCa.create({ issuer: await TestCa.create({ issuer: b }) })
    const source = new TestSource(await issuer.svid('spiffe://b.test/client'), a.bundle('a.test'))
    const client = new grpc.Client(`127.0.0.1:${port}`, createGrpcChannelCredentials(source, { authorize: serverId }))
    onTestFinished(() => client.close())
    expect(await call(client)).toMatch(/^spiffe:\/\/b\.test\/client /)
  })

  test('a stranger gets PERMISSION_DENIED, and no handler hears of it', async () => {
    const { port, handled, rejected } = await start()
    const { client } = await newClient(`127.0.0.1:${port}`, {}, 'spiffe://a.test/stranger')
    await expect(call(client)).rejects.toMatchObject({
      code: grpc.status.PERMISSION_DENIED,
      details: 'spiffe://a.test/stranger is not authorized here',
    })
    await expect(call(client)).rejects.toMatchObject({ code: grpc.status.PERMISSION_DENIED })
    expect(handled).toEqual([])
    expect(rejected).toEqual(['ERR_PEER_NOT_AUTHORIZED'])
  })

  test('an impostor is cut off', async () => {
    const { port, handled, rejected } = await start({ authorize: authorizeAny() })
    const forged = await b.leaf({ uris: [clientId] })
    const credentials = grpc.credentials.createFromSecureContext(
      tls.createSecureContext({ cert: forged.cert, key: forged.key, ca: a.certificate.toPem() }),
      { checkServerIdentity: () => undefined },
    )
    const client = new grpc.Client(`localhost:${port}`, credentials)
    onTestFinished(() => client.close())
    await expect(call(client)).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE })
    expect(handled).toEqual([])
    expect(rejected[0]).toBe('ERR_X509_CHAIN_UNTRUSTED')
  })

  test('a server that is not authorized makes the call UNAVAILABLE, and the details say why', async () => {
    const { port, handled } = await start()
    const { client } = await newClient(`127.0.0.1:${port}`, { authorize: 'spiffe://a.test/other' })
    await expect(call(client)).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining(`${serverId} proved its identity and is not authorized here`) as unknown,
    })
    expect(handled).toEqual([])
  })

  test('an anonymous client, where it may be one, has no caller', async () => {
    const { port } = await start({ clients: 'optional' })
    const credentials = grpc.credentials.createSsl(Buffer.from(a.certificate.toPem()), null, null, {
      checkServerIdentity: () => undefined,
    })
    const client = new grpc.Client(`localhost:${port}`, credentials)
    onTestFinished(() => client.close())
    expect(await call(client)).toBe('nobody ')
  })

  test('a client that does not speak HTTP/2 is cut off', async () => {
    const { port } = await start()
    const { cert, key } = await a.leaf({ uris: [clientId] })
    const socket = tls.connect({ ...gullible({ cert, key }), port }).resume()
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.on('close', resolve))
  })
})

describe('rotation of gRPC', () => {
  test('a new channel uses the newest SVIDs of both sides', async () => {
    const { port, source: serverSource } = await start()
    const { client, source } = await newClient(`127.0.0.1:${port}`)
    await call(client)
    client.close()
    source.use(await a.svid(clientId))
    serverSource.use(await a.svid(serverId))
    const credentials = createGrpcChannelCredentials(source, { authorize: serverId })
    const again = new grpc.Client(`127.0.0.1:${port}`, credentials)
    onTestFinished(() => again.close())
    expect(await call(again)).toBe(`${clientId} ${source.getX509Svid().serialNumber}`)
  })

  test('without a valid SVID calls fail with the reason', async () => {
    const { port } = await start()
    const { client, source } = await newClient(`127.0.0.1:${port}`)
    source.use(new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'it has run out'))
    await expect(call(client)).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining('it has run out') as unknown,
    })
  })

  for (const side of ['client', 'server'] as const)
    test(`trust that the ${side} withdraws ends calls in progress, and nothing listens any longer`, async () => {
      const { port, arrival, source: serverSource } = await start()
      const { client, source } = await newClient(`127.0.0.1:${port}`)
      const pending = call(client, wait).catch((error: unknown) => error)
      await arrival
      expect(source.listeners).toBe(1)
      const mine = side === 'client' ? source : serverSource
      mine.use(mine.getX509Svid(), b.bundle('b.test'))
      expect(await pending).toMatchObject({ code: grpc.status.UNAVAILABLE })
      await expect.poll(() => source.listeners).toBe(0)
    })
})

test('the caller of a connection that ended is forgotten', async () => {
  const { port } = await start()
  const session = connectHttp2(`https://127.0.0.1:${port}`, gullible(await a.leaf({ uris: [clientId] })))
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  const peer = (session.socket as tls.TLSSocket).getCertificate()
  const call = { getAuthContext: () => ({ sslPeerCertificate: peer as tls.PeerCertificate }) }
  expect(callerOfCall(call)?.id.toString()).toBe(clientId)
  session.destroy()
  await expect.poll(() => callerOfCall(call)).toBeUndefined()
})
