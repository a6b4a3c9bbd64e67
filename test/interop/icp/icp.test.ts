import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { TrustDomain } from '../../../src/spiffe-id/index.js'
import { X509Source } from '../../../src/source/index.js'
import { verifyX509Svid } from '../../../src/svid/index.js'
import { WorkloadApiClient, type WorkloadApiClientOptions } from '../../../src/workload-api/index.js'
import { keepUntilEnd } from '../keep-until-end.js'
import { PythonAgent, type SeenCall } from './python-agent.js'
import { Tenant } from './tenant.js'

// Our client and an agent of the ICP dialect that shares no line with it: grpcio, and what protoc made of the protos.

const keep = keepUntilEnd()
const agent = await keep(PythonAgent.start('icp'))
const tenant = new Tenant()
const { workloadId } = tenant

beforeEach(() => agent.reset())
afterEach(() => vi.unstubAllEnvs())

function connect(options: WorkloadApiClientOptions = {}): WorkloadApiClient {
  const client = new WorkloadApiClient({ endpoint: agent.endpoint, ...options })
  onTestFinished(() => client.close())
  return client
}

async function open(options: Parameters<typeof X509Source.open>[0] = {}): Promise<X509Source> {
  const source = await X509Source.open({ endpoint: agent.endpoint, ...options })
  onTestFinished(() => source.close())
  return source
}

const untilHolds = (source: X509Source, { serialNumber }: { serialNumber: string }) =>
  vi.waitFor(() => expect(source.getX509Svid().serialNumber).toBe(serialNumber), { timeout: 5_000, interval: 10 })
const headers = (call: SeenCall | undefined) =>
  Object.fromEntries(Object.entries(call?.metadata ?? {}).filter(([key]) => key.startsWith('x-')))

describe('X509-SVIDs', () => {
  test('are found in the ICP dialect after one answer of grpcio that it knows no such method', async () => {
    const svid = tenant.issue()
    await agent.hold([svid])
    const client = connect()
    const context = await client.fetchX509Context()
    expect(client.dialect).toBe('icp')
    expect(context.defaultSvid).toMatchObject({ serialNumber: svid.serialNumber, hint: '' })
    expect(context.defaultSvid.id.toString()).toBe(workloadId)
    expect((await agent.calls()).map(({ method }) => method)).toEqual(['FetchX509SVID'])
  })

  for (const [what, encode] of [
    ['PKCS#1 in PEM', (key) => key.export({ type: 'pkcs1', format: 'pem' })],
    ['PKCS#8 in PEM', (key) => key.export({ type: 'pkcs8', format: 'pem' })],
    ['PKCS#8 in DER', (key) => key.export({ type: 'pkcs8', format: 'der' })],
  ] satisfies [string, (key: ReturnType<Tenant['issue']>['privateKey']) => string | Buffer][])
    test(`come with their key as ${what}`, async () => {
      const svid = tenant.issue()
      await agent.hold([{ ...svid, key: encode(svid.privateKey) }])
      const source = await open()
      expect(source.getX509Svid().privateKey.equals(svid.privateKey)).toBe(true)
      const chain = source.getX509Svid().certificates.map(({ der }) => der)
      expect(verifyX509Svid(chain, source).id.toString()).toBe(workloadId)
    })

  test('come with bundles under bare tenant names, in whatever case', async () => {
    const other = new Tenant()
    await agent.hold([tenant.issue()], { [other.name.toUpperCase()]: other.bundlePem })
    const { bundles } = await connect().fetchX509Context()
    expect(bundles.getX509Bundle(TrustDomain.parse(other.name))?.toPem().trim()).toBe(other.bundlePem.trim())
    expect(bundles.getX509Bundle(TrustDomain.parse(tenant.name))?.authorities).toHaveLength(1)
  })

  test('are followed as they are pushed', async () => {
    await agent.hold([tenant.issue()])
    const source = await open()
    const second = tenant.issue()
    await agent.hold([second])
    await agent.push()
    await untilHolds(source, second)
    expect(await agent.calls('FetchX509SVID')).toHaveLength(1)
  })

  test('that have expired and are sent all the same are not believed; a newer one on the same stream is', async () => {
    const good = tenant.issue()
    await agent.hold([good])
    const source = await open()
    const discarded = new Promise((resolve) => source.once('discarded', resolve))
    await agent.hold([
      tenant.issue({ notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) }),
    ])
    await agent.end()
    expect(await discarded).toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
    expect(source.getX509Svid().serialNumber).toBe(good.serialNumber)
    const next = tenant.issue()
    await agent.hold([next])
    await agent.push()
    await untilHolds(source, next)
  })

  test('that have expired are nothing to start with', async () => {
    await agent.hold([
      tenant.issue({ notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) }),
    ])
    await expect(open({ initialTimeoutMs: 500 })).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
  })

  test('of another workload, which that agent may have cached, are refused when the SPIFFE ID is pinned', async () => {
    await agent.hold([tenant.issue()])
    const pinned = open({ expectedSpiffeId: `spiffe://${tenant.name}/workload/other`, initialTimeoutMs: 500 })
    await expect(pinned).rejects.toMatchObject({ code: 'ERR_SPIFFE_ID_UNEXPECTED' })
  })

  test('are asked for until the agent attests, and kept when it suddenly does not', async () => {
    const source = X509Source.start({ endpoint: agent.endpoint })
    onTestFinished(() => source.close())
    await vi.waitFor(() => expect(source.status().failures).toBeGreaterThan(2), { timeout: 5_000 })
    expect(source.status()).toMatchObject({ dialect: 'icp', lastError: { grpcStatus: 7 } })
    const svid = tenant.issue()
    await agent.hold([svid])
    await untilHolds(source, svid)
    await agent.forget()
    await agent.end()
    await vi.waitFor(() => expect(source.status().lastError?.code).toBe('ERR_WORKLOAD_API_DENIED'), { timeout: 5_000 })
    // Every fault behind that agent is answered with a denial.
    expect(source.getX509Svid().serialNumber).toBe(svid.serialNumber)
  })
})

test('X.509 bundles have bare tenant names as keys, and the field number of this dialect', async () => {
  const other = new Tenant()
  await agent.hold([tenant.issue()])
  await agent.holdBundles({ [tenant.name]: tenant.bundlePem.trimEnd(), [other.name.toUpperCase()]: other.bundlePem })
  const bundles = await connect().fetchX509Bundles()
  expect([...bundles].map(({ trustDomain }) => trustDomain.name).sort()).toEqual([tenant.name, other.name].sort())
})

const environment = {
  POD_NAMESPACE: 'shop',
  POD_NAME: 'web-1',
  POD_UID: 'b4f2',
  SERVICE_ACCOUNT: 'web',
  POD_LABEL_APP: 'web',
  POD_LABEL_ENVIRONMENT: 'production',
  DOCKER_CONTAINER_ID: 'c0ffee',
  DOCKER_CONTAINER_NAME: 'web',
  DOCKER_IMAGE_NAME: 'registry/web:1',
  'DOCKER_LABEL_com.example.Team': 'payments',
}

const sent = {
  'x-k8s-namespace': ['shop'],
  'x-k8s-pod-name': ['web-1'],
  'x-k8s-pod-uid': ['b4f2'],
  'x-k8s-service-account': ['web'],
  'x-k8s-pod-label-app': ['web'],
  'x-k8s-pod-label-environment': ['production'],
  'x-docker-container-id': ['c0ffee'],
  'x-docker-container-name': ['web'],
  'x-docker-image-name': ['registry/web:1'],
  'x-docker-label-com.example.team': ['payments'],
}

const labels = { pod: { tier: 'front' }, docker: { 'org.example.owner': 'shop' } }
const sentLabels = { 'x-k8s-pod-label-tier': ['front'], 'x-docker-label-org.example.owner': ['shop'] }

describe('the environment', () => {
  const stub = (values: Record<string, string>) => {
    for (const [name, value] of Object.entries(values)) vi.stubEnv(name, value)
  }

  test('arrives with FetchX509SVID, the labels of the option too, and with no other call', async () => {
    stub(environment)
    await agent.hold([tenant.issue()])
    await agent.holdJwt(workloadId, tenant.sign(tenant.claims(['api'])))
    await agent.holdBundles({ [tenant.name]: tenant.bundlePem })
    const client = connect({ labels })
    await client.fetchX509Context()
    await client.fetchX509Bundles()
    await client.fetchJwtSvid('api')
    const [first, ...others] = await agent.calls()
    expect(headers(first)).toEqual({ ...sent, ...sentLabels })
    expect(first?.metadata['workload.spiffe.io']).toEqual(['true'])
    expect(others.map(({ method }) => method)).toEqual(['FetchX509Bundles', 'FetchJWTSVID'])
    for (const call of others) expect(headers(call)).toEqual({})
  })

  test('does not cost the call what grpcio would not take: too much, or characters that no header carries', async () => {
    stub({ ...environment, POD_LABEL_LONG: 'x'.repeat(20_000), POD_LABEL_BAD: 'café', 'DOCKER_LABEL_a/b': 'c' })
    await agent.hold([tenant.issue()])
    const source = X509Source.start({ endpoint: agent.endpoint })
    onTestFinished(() => source.close())
    const warnings: string[] = []
    source.on('warning', (message) => warnings.push(message))
    await source.updates().next()
    const [call] = await agent.calls()
    expect(headers(call)).toEqual(sent)
    expect(warnings.map((warning) => warning.split(' ')[0]).sort()).toEqual([
      'DOCKER_LABEL_a/b',
      'POD_LABEL_BAD',
      'POD_LABEL_LONG',
    ])
  })

  test('is left out by the option', async () => {
    stub(environment)
    await agent.hold([tenant.issue()])
    await connect({ metadata: false, labels }).fetchX509Context()
    expect(headers((await agent.calls())[0])).toEqual({})
  })

  test('has the process id over tcp, where the kernel tells nobody', async () => {
    const overTcp = await keep(PythonAgent.start('icp', { tcp: true }))
    await overTcp.hold([tenant.issue()])
    await connect({ endpoint: overTcp.endpoint }).fetchX509Context()
    expect(headers((await overTcp.calls())[0])).toEqual({ 'x-pid': [String(process.pid)] })
  })

  test('never reaches a standard agent, with whatever call', async () => {
    stub(environment)
    const standard = await keep(PythonAgent.start('spiffe'))
    const { certificatesDer, keyDer, bundleDer } = tenant.inDer()
    await standard.hold([{ spiffeId: workloadId, chain: certificatesDer, key: keyDer, bundle: bundleDer }])
    await standard.holdBundles({ [`spiffe://${tenant.name}`]: bundleDer })
    await standard.holdJwt(workloadId, tenant.sign(tenant.claims(['api'])))
    const client = connect({ endpoint: standard.endpoint, labels })
    await client.fetchX509Context()
    await client.fetchX509Bundles()
    await client.fetchJwtSvid('api')
    expect(client.dialect).toBe('spiffe')
    const calls = await standard.calls()
    expect(calls).toHaveLength(3)
    for (const call of calls) {
      expect(headers(call)).toEqual({})
      expect(call.metadata['workload.spiffe.io']).toEqual(['true'])
    }
  })
})

test('an agent that is killed and comes back, in the other dialect at last, costs no SVID and leaks no header', async () => {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
  const mortal = await keep(PythonAgent.start('icp'))
  const first = tenant.issue()
  await mortal.hold([first])
  const source = await open({ endpoint: mortal.endpoint })
  await mortal.kill()
  await vi.waitFor(() => expect(source.status().state).toBe('reconnecting'), { timeout: 5_000 })
  expect(source.getX509Svid().serialNumber).toBe(first.serialNumber)
  const second = tenant.issue()
  await mortal.listen('icp')
  await mortal.hold([second])
  await untilHolds(source, second)
  expect(headers((await mortal.calls()).at(-1))).toEqual(sent)

  await mortal.kill()
  await mortal.listen('spiffe')
  const third = tenant.inDer()
  await mortal.hold([
    { spiffeId: workloadId, chain: third.certificatesDer, key: third.keyDer, bundle: third.bundleDer },
  ])
  await untilHolds(source, third)
  expect(source.status().dialect).toBe('spiffe')
  for (const call of await mortal.calls()) expect(headers(call)).toEqual({})
})
