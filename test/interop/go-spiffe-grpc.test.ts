import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { beforeAll, describe, expect, test } from 'vitest'
import { callerOfCall, createGrpcChannelCredentials, serveGrpc } from '../../src/adapters/grpc/index.js'
import { DevAgent } from '../../src/dev/agent/index.js'
import { X509Source } from '../../src/source/index.js'
import { GoProgram, type GoWorkload } from './go-workload.js'
import { keepUntilEnd } from './keep-until-end.js'

const [ours, theirs, third] = ['spiffe://example.org/node', 'spiffe://example.org/go', 'spiffe://example.org/third']

const keep = keepUntilEnd()
let agent: DevAgent
let source: X509Source
let program: GoProgram
let go: GoWorkload
let server: Awaited<ReturnType<typeof serve>>

/** `google.protobuf.Empty` is no bytes; `google.protobuf.StringValue` is one field of text, shorter than 128 bytes here. */
const whoAmI = {
  path: '/test.Peer/WhoAmI',
  requestStream: false,
  responseStream: false,
  requestSerialize: () => Buffer.of(),
  requestDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (text: string) => Buffer.concat([Buffer.of(0x0a, text.length), Buffer.from(text)]),
  responseDeserialize: (bytes: Buffer) => bytes.subarray(2).toString(),
} as const

beforeAll(async () => {
  program = await keep(GoProgram.build())
  agent = await keep(DevAgent.start({ trustDomain: 'example.org' }))
  source = await keep(X509Source.open({ endpoint: (await keep(agent.workload(ours))).endpoint }))
  go = await keep(program.start({ endpoint: (await keep(agent.workload(theirs))).endpoint, authorize: [ours] }))
  server = await keep(serve())
})

async function serve() {
  const calls = new grpc.Server()
  calls.addService(
    { whoAmI },
    {
      whoAmI: (call: grpc.ServerUnaryCall<Buffer, string>, done: grpc.sendUnaryData<string>) =>
        done(null, callerOfCall(call)?.id.toString() ?? 'nobody'),
    },
  )
  const front = serveGrpc(calls, source, { authorize: theirs })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  const end = async () => {
    calls.forceShutdown()
    front.close()
    await once(front, 'close')
  }
  return { target: `127.0.0.1:${(front.address() as AddressInfo).port}`, [Symbol.asyncDispose]: end }
}

/** Calls the server of go-spiffe; resolves to whom it takes us for. */
function call(from: X509Source, authorize: string): Promise<string> {
  const client = new grpc.Client(go.grpcTarget, createGrpcChannelCredentials(from, { authorize }))
  return new Promise<string>((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = whoAmI
    const deadline = Date.now() + 10_000
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, undefined, { deadline }, (error, id) =>
      error ? reject(error) : resolve(id ?? ''),
    )
  }).finally(() => client.close())
}

describe('gRPC between go-spiffe and this library', () => {
  test('go-spiffe calls our server, and each knows the other, before and after a rotation of both', async () => {
    for (let round = 0; round < 2; round++) {
      const answer = await go.ask('call grpc', { target: server.target, authorize: ours })
      expect(answer).toEqual({ caller: theirs, server: ours })
      const [svid, since] = [source.getX509Svid(), Date.now()]
      await agent.rotate()
      await go.event('source updated', { since })
      await expect.poll(() => source.getX509Svid()).not.toBe(svid)
    }
  })

  test('we call a server of go-spiffe, which knows us', async () => {
    expect(await call(source, theirs)).toBe(ours)
  })

  test('we refuse a server of go-spiffe that is somebody else', async () => {
    await expect(call(source, third)).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining(theirs) as unknown,
    })
  })

  test('go-spiffe refuses our server when it expects somebody else', async () => {
    const answer = go.ask('call grpc', { target: server.target, authorize: third })
    await expect(answer).rejects.toThrow(/unexpected ID/)
  })

  test('a server of go-spiffe refuses us when it expects somebody else', async () => {
    await using workload = await agent.workload(third)
    await using other = await X509Source.open({ endpoint: workload.endpoint })
    await expect(call(other, theirs)).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE })
  })

  test('our server tells a client of go-spiffe that is not on its list PERMISSION_DENIED', async () => {
    await using workload = await agent.workload(third)
    await using other = await program.start({ endpoint: workload.endpoint, authorize: 'any' })
    const answer = other.ask('call grpc', { target: server.target, authorize: ours })
    await expect(answer).rejects.toMatchObject({ grpcStatus: grpc.status.PERMISSION_DENIED })
  })
})
