import { credentials, loadPackageDefinition, makeGenericClientConstructor } from '@grpc/grpc-js'
import type { Client, ClientDuplexStream, ServiceDefinition } from '@grpc/grpc-js'
import { loadFileDescriptorSetFromBuffer, loadSync } from '@grpc/proto-loader'
import { expect, test } from 'vitest'
import type { DevAgentOptions } from '../../../src/dev/agent/index.js'
import { afterwards, startAgent } from './scope.js'

interface Response {
  valid_host: string
  original_request: object
  list_services_response?: { service: { name: string }[] }
  file_descriptor_response?: { file_descriptor_proto: Buffer[] }
  error_response?: { error_code: number }
}

const options = { keepCase: true, defaults: true, oneofs: false }
const v1 = loadSync('proto/grpc_reflection.proto', options)['grpc.reflection.v1.ServerReflection'] as ServiceDefinition

/** What a tool without any proto does: no security header, one stream, a question at a time. */
async function tool(name: 'v1' | 'v1alpha' = 'v1', agentOptions: Partial<DevAgentOptions> = {}) {
  const agent = await startAgent(agentOptions)
  const { endpoint } = await agent.workload('spiffe://example.org/web')
  const path = `/grpc.reflection.${name}.ServerReflection/ServerReflectionInfo`
  const Reflection = makeGenericClientConstructor({ info: { ...v1['ServerReflectionInfo']!, path } }, name)
  const client = new Reflection(endpoint, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
  afterwards(() => client.close())
  const stream = (client as unknown as { info: () => ClientDuplexStream<object, Response> }).info()
  const answers = stream[Symbol.asyncIterator]() as AsyncIterator<Response, undefined>
  const ask = async (request: object) => {
    stream.write(request)
    const { value } = await answers.next()
    if (!value) throw new Error('the stream has ended')
    return value
  }
  return { endpoint, ask, stream, answers }
}

for (const name of ['v1', 'v1alpha'] as const)
  test(`WEP-28 WEP-29 the services of a socket are listed, without the security header, by ${name}`, async () => {
    const { ask, stream, answers } = await tool(name)
    const answer = await ask({ host: 'here', list_services: '*' })
    expect(answer.list_services_response?.service.map((service) => service.name)).toEqual([
      'SpiffeWorkloadAPI',
      'spiffe.workload.SpiffeWorkloadAPI',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ])
    expect(answer).toMatchObject({ valid_host: 'here', original_request: { host: 'here', list_services: '*' } })
    stream.end()
    expect(await answers.next()).toMatchObject({ done: true })
  })

test('an agent of one dialect lists that one', async () => {
  const { ask } = await tool('v1', { dialects: ['icp'] })
  const { list_services_response: list } = await ask({ list_services: '' })
  expect(list?.service.map(({ name }) => name)).not.toContain('SpiffeWorkloadAPI')
})

test('WEP-29 the files that it hands out are enough to make a call', async () => {
  const { endpoint, ask } = await tool()
  for (const symbol of ['SpiffeWorkloadAPI', 'SpiffeWorkloadAPI.FetchX509SVID', 'X509SVIDResponse']) {
    const { file_descriptor_response: files } = await ask({ file_containing_symbol: symbol })
    const set = Buffer.concat(
      // FileDescriptorSet: the files are field 1.
      files!.file_descriptor_proto.map((file) => Buffer.concat([Buffer.of(0x0a), varint(file.length), file])),
    )
    const { SpiffeWorkloadAPI } = loadPackageDefinition(loadFileDescriptorSetFromBuffer(set, options))
    const Service = SpiffeWorkloadAPI as unknown as new (...args: unknown[]) => Client & {
      ValidateJWTSVID: (request: object, done: (error: { code: number }) => void) => void
    }
    const client = new Service(endpoint, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    afterwards(() => client.close())
    const refused = new Promise((resolve) => client.ValidateJWTSVID({ audience: 'a' }, resolve))
    expect(await refused).toMatchObject({ code: 3 })
  }
})

test('each file is found by its name, and by what it declares', async () => {
  const { ask } = await tool()
  for (const request of [
    { file_by_filename: 'workload.proto' },
    { file_by_filename: 'google/protobuf/struct.proto' },
    { file_containing_symbol: 'google.protobuf.Struct' },
    { file_containing_symbol: 'spiffe.workload.SpiffeWorkloadAPI' },
    { file_containing_symbol: 'grpc.reflection.v1alpha.ServerReflection' },
    { file_containing_symbol: 'grpc.reflection.v1.ServerReflection.ServerReflectionInfo' },
  ])
    expect((await ask(request)).file_descriptor_response?.file_descriptor_proto.length).toBeGreaterThan(0)
})

for (const request of [
  { file_by_filename: 'other.proto' },
  { file_containing_symbol: 'Other' },
  { file_containing_symbol: '' },
  { file_containing_extension: { containing_type: 'X509SVID', extension_number: 5 } },
  { all_extension_numbers_of_type: 'X509SVID' },
  {},
])
  test(`${JSON.stringify(request)} is answered NOT_FOUND, and the stream goes on`, async () => {
    const { ask } = await tool()
    expect((await ask(request)).error_response?.error_code).toBe(5)
    expect((await ask({ list_services: '' })).list_services_response).toBeDefined()
  })

test('what is asked at the same time is answered in order', async () => {
  const { stream, answers } = await tool()
  const names = ['workload.proto', 'none.proto', 'icp_workload.proto']
  for (const name of names) stream.write({ file_by_filename: name })
  for (const name of names) {
    const { value } = await answers.next()
    expect(value?.original_request).toMatchObject({ file_by_filename: name })
  }
})

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (; value > 0x7f; value >>= 7) bytes.push((value & 0x7f) | 0x80)
  return Buffer.of(...bytes, value)
}
