import { existsSync } from 'node:fs'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import type { DevAgentCall } from '../../../src/dev/agent/index.js'
import { marked } from './independent-client.js'
import { connect, startAgent } from './scope.js'

const web = 'spiffe://example.org/web'

async function served() {
  const agent = await startAgent()
  const workload = await agent.workload(web)
  const client = connect(workload.endpoint)
  const stream = client.x509Svids()
  await stream.next()
  return { agent, workload, steering: workload.steering, client, stream }
}

test('deny() ends streams and answers calls with its code until behave()', async () => {
  const { steering, client, stream } = await served()
  steering.deny(status.UNAUTHENTICATED, 'who are you')
  expect(await stream.status).toMatchObject({ code: status.UNAUTHENTICATED, details: 'who are you' })
  expect(await client.statusOf('FetchX509Bundles')).toBe(status.UNAUTHENTICATED)
  steering.behave()
  expect((await client.x509Svids().next()).svids).toHaveLength(1)
})

test('stall() takes calls and says nothing; behave() lets them speak', async () => {
  const { workload, steering, client, stream } = await served()
  steering.stall()
  const stalled = client.x509Svids()
  await expect.poll(() => steering.openStreams).toBe(2)
  await workload.rotate()
  await workload.rotate()
  steering.behave()
  const newest = Buffer.from(workload.svid.certificatesDer())
  expect((await stream.next()).svids[0]!.x509_svid).toEqual(newest)
  expect((await stalled.next()).svids[0]!.x509_svid).toEqual(newest)
})

test('sendRaw() sends rubbish in open streams and as the first answer; a good message follows', async () => {
  const { steering, client, stream } = await served()
  // Field 1 of 100 bytes, of which none follows.
  steering.sendRaw(Buffer.from([0x0a, 0x64]))
  const fresh = client.x509Bundles()
  expect((await stream.status).code).toBe(status.INTERNAL)
  expect((await fresh.status).code).toBe(status.INTERNAL)
  steering.behave()
  expect((await client.x509Svids().next()).svids).toHaveLength(1)
})

test('rewrite() changes what is sent, and behave() sends the truth again', async () => {
  const { steering, stream } = await served()
  steering.rewrite((method, message) => (method === 'FetchX509SVID' ? { ...message, svids: [] } : undefined))
  expect((await stream.next()).svids).toEqual([])
  steering.behave()
  expect((await stream.next()).svids).toHaveLength(1)
})

test('endStreams() ends with OK and serves the next call', async () => {
  const { steering, client, stream } = await served()
  steering.endStreams()
  expect((await stream.status).code).toBe(status.OK)
  expect((await client.x509Svids().next()).svids).toHaveLength(1)
})

test('cut() drops the connection and serves the next one', async () => {
  const { steering, workload, stream } = await served()
  steering.cut()
  expect((await stream.status).code).toBe(status.UNAVAILABLE)
  expect((await connect(workload.endpoint).x509Svids().next()).svids).toHaveLength(1)
})

test('die() leaves neither listener nor file, and comeBack() is on the same path with the newest state', async () => {
  const { agent, workload, steering, stream } = await served()
  const path = workload.endpoint.replace('unix://', '')
  await steering.die()
  expect((await stream.status).code).toBe(status.UNAVAILABLE)
  expect(existsSync(path)).toBe(false)
  expect((await connect(workload.endpoint).x509Svids().status).code).toBe(status.UNAVAILABLE)
  await agent.rotate()
  await steering.comeBack()
  const message = await connect(workload.endpoint).x509Svids().next()
  expect(message.svids[0]!.x509_svid).toEqual(Buffer.from(workload.svid.certificatesDer()))
})

test('die({ leaveFile }) leaves a file that nobody answers on, as a killed process does', async () => {
  const { workload, steering } = await served()
  const path = workload.endpoint.replace('unix://', '')
  await steering.die({ leaveFile: true })
  expect(existsSync(path)).toBe(true)
  expect((await connect(workload.endpoint).x509Svids().status).code).toBe(status.UNAVAILABLE)
  await steering.comeBack()
  expect((await connect(workload.endpoint).x509Svids().next()).svids).toHaveLength(1)
})

test('a TCP agent comes back on the same port', async () => {
  const agent = await startAgent()
  const workload = await agent.workload(web, { tcp: true })
  await workload.steering.die()
  await workload.steering.comeBack()
  expect((await connect(workload.endpoint).x509Svids().next()).svids).toHaveLength(1)
})

test('a dead workload can be closed', async () => {
  const { agent, steering } = await served()
  await steering.die()
  await agent.close()
})

test('streams that their client has left are forgotten', async () => {
  const { steering, stream, client } = await served()
  const other = client.x509Bundles()
  await other.next()
  expect(steering.openStreams).toBe(2)
  stream.cancel()
  await expect.poll(() => steering.openStreams).toBe(1)
})

test('onCall hears every call with its metadata, also those that are refused', async () => {
  const calls: DevAgentCall[] = []
  const agent = await startAgent({ onCall: (call) => calls.push(call) })
  const { endpoint } = await agent.workload(web)
  const client = connect(endpoint)
  await client.x509Svids().next()
  await client.statusOf('FetchJWTBundles', {}, marked('true', 'false'))
  expect(calls.map(({ method }) => method)).toEqual([
    '/SpiffeWorkloadAPI/FetchX509SVID',
    '/SpiffeWorkloadAPI/FetchJWTBundles',
  ])
  expect(calls[0]).toMatchObject({ endpoint, metadata: { 'workload.spiffe.io': ['true'] } })
})

test('a reader that does not keep up skips to the newest state', async () => {
  const { workload, steering, stream } = await served()
  // Far more than the windows of HTTP/2 and the buffers on the way can hold.
  const ballast = [Buffer.alloc(50_000)]
  steering.rewrite((_method, message) => ({ ...message, crl: ballast }))
  stream.pause()
  for (let n = 0; n < 60; n++) await workload.rotate()
  stream.resume()
  const newest = Buffer.from(workload.svid.certificatesDer())
  await stream.until((message) => message.svids[0]!.x509_svid.equals(newest))
  expect(stream.messages.length).toBeLessThan(30)
})
