import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { DevAgent } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'
import { ExampleProjects, exampleNames, examples, freePort } from './example-project.js'

const root = join(import.meta.dirname, '../..')
const [shopId, paymentsId, strangerId] = ['shop', 'payments', 'stranger'].map((name) => `spiffe://example.org/${name}`)

let agent: DevAgent
let shop: string
let payments: string
let projects: ExampleProjects

beforeAll(async () => {
  agent = await DevAgent.start({ trustDomain: 'example.org' })
  shop = (await agent.workload(shopId!)).endpoint
  payments = (await agent.workload(paymentsId!)).endpoint
  projects = new ExampleProjects()
})

afterEach(async () => {
  await projects.close()
  projects = new ExampleProjects()
})

afterAll(() => agent.close())

async function run(name: string, script: string, env: Record<string, string>): Promise<string> {
  const { code, output } = await projects.start(await projects.install(name), script, env).ended()
  expect({ name, code, output }).toMatchObject({ code: 0 })
  return output
}

async function startServer(name: string, env: Record<string, string> = {}) {
  const port = await freePort()
  const server = projects.start(await projects.install(name), 'server.js', {
    SPIFFE_ENDPOINT_SOCKET: payments,
    PORT: String(port),
    ...env,
  })
  await server.prints('ready')
  return { server, port, url: `https://localhost:${port}` }
}

/** A request of somebody with the identity that lies behind `endpoint`. */
async function requestAs(endpoint: string, url: string): Promise<{ status: number; body: string }> {
  const svid = await QuickStartSVID.create({ endpoint, files: false })
  const agent = svid.httpsAgent({ authorize: paymentsId! })
  try {
    const request = get(url, { agent })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode!, body: await text(response) }
  } finally {
    agent.destroy()
    await svid.shutdown()
  }
}

test('every example is a package, and says how it is run', async () => {
  for (const name of await exampleNames()) {
    const manifest = JSON.parse(await readFile(join(examples, name, 'package.json'), 'utf8')) as object
    const dependencies = expect.objectContaining({ 'authsec-sdk': 'file:../..' }) as object
    expect(manifest).toMatchObject({ private: true, type: 'module', dependencies })
    expect(await readFile(join(examples, name, 'README.md'), 'utf8')).toMatch(/npm install\n.*node \w+\.js/s)
  }
})

test('quick-start', async () => {
  const output = await run('quick-start', 'index.js', { SPIFFE_ENDPOINT_SOCKET: shop })
  expect(output).toMatch(/^this process is spiffe:\/\/example\.org\/shop until \d{4}-.+Z$/m)
  expect(output).toMatch(/svid\.crt \/.+svid\.key \/.+ca\.crt$/m)
  expect(output).toContain('for those who take tokens: spiffe://example.org/shop, for reports')
})

for (const server of ['express-server', 'fastify-server'])
  test(`${server}, called by undici-client and https-client`, async () => {
    const { url } = await startServer(server)
    const env = { SPIFFE_ENDPOINT_SOCKET: shop, PAYMENTS_URL: url }
    const [undici, https] = [await run('undici-client', 'client.js', env), await run('https-client', 'client.js', env)]
    expect(undici.trim().split('\n')).toEqual([
      'fetch: 200 { paid: true }',
      `undici: 200 { hello: '${shopId!}' }`,
      'refused: ERR_PEER_NOT_AUTHORIZED',
    ])
    expect(https.trim()).toBe('200 { paid: true }')

    const { endpoint } = await agent.workload(strangerId!)
    expect((await requestAs(endpoint, `${url}/hello`)).body).toContain(strangerId)
    expect((await requestAs(endpoint, `${url}/pay`)).status).toBe(403)
  })

test('grpc', async () => {
  const { port } = await startServer('grpc')
  const client = (endpoint: string) =>
    run('grpc', 'client.js', { SPIFFE_ENDPOINT_SOCKET: endpoint, GREETER: `localhost:${port}` })
  expect((await client(shop)).trim()).toBe(`Good morning, ${shopId!}`)
  expect(await client(payments)).toContain(`refused: ${paymentsId!} is not authorized here`)
})

test('health-probes: not ready before there is an agent, ready with it, degraded without it', async () => {
  const directory = await temporaryDirectory()
  const port = await freePort()
  const service = projects.start(await projects.install('health-probes'), 'server.js', {
    SPIFFE_ENDPOINT_SOCKET: `unix://${join(directory, 'late.sock')}`,
    PROBE_PORT: String(port),
  })
  const probe = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return [answer.status, await answer.json()] as const
  }
  await service.prints('probes are answered')
  expect(await probe('/ready')).toEqual([503, { ready: false }])
  expect(await probe('/healthz')).toEqual([200, { status: 'degraded' }])
  const late = await DevAgent.start({ trustDomain: 'example.org', directory })
  try {
    await late.workload(shopId!, { socketName: 'late' })
    await service.prints(`this process is ${shopId!}`)
    expect(await probe('/ready')).toEqual([200, { ready: true }])
    expect(await probe('/healthz')).toEqual([200, { status: 'healthy' }])
  } finally {
    await late.close()
  }
  await expect.poll(() => probe('/healthz')).toEqual([200, { status: 'degraded' }])
  expect(await probe('/ready')).toEqual([200, { ready: true }])
})

test('graceful-shutdown: SIGTERM while a request runs', async () => {
  const { server, url } = await startServer('graceful-shutdown')
  const answer = requestAs(shop, url)
  await server.prints('a request that takes a while')
  server.child.kill('SIGTERM')
  expect(await answer).toEqual({ status: 200, body: 'done\n' })
  expect((await server.ended()).code).toBe(0)
})

test('worker-threads', async () => {
  const svid = await QuickStartSVID.create({ endpoint: payments, files: false })
  const server = svid.createHttpsServer({ authorize: shopId! }, (_request, response) => response.end('paid'))
  try {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const output = await run('worker-threads', 'main.js', { SPIFFE_ENDPOINT_SOCKET: shop, PAYMENTS_URL: url })
    expect(output.trim().split('\n').sort()).toEqual([
      `main: ${shopId!}`,
      `one: ${shopId!} was told: paid`,
      `two: ${shopId!} was told: paid`,
    ])
  } finally {
    server.close()
    server.closeAllConnections()
    await svid.shutdown()
  }
})

test('testing: a service, tested with an agent of its own', async () => {
  const output = await run('testing', 'test.js', {})
  expect(output).toMatch(/^(# |ℹ )pass 5$/m)
  expect(output).toMatch(/^(# |ℹ )fail 0$/m)
})

test('the examples compile, as JavaScript that is checked', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'examples-'))
  try {
    await mkdir(join(directory, 'node_modules/@grpc'), { recursive: true })
    await symlink(root, join(directory, 'node_modules/authsec-sdk'))
    for (const name of ['express', 'fastify', 'undici', '@types', '@grpc/grpc-js', '@grpc/proto-loader']) {
      await symlink(join(root, 'node_modules', name), join(directory, 'node_modules', name))
    }
    // pg brings no types of its own.
    for (const name of await exampleNames()) {
      if (name !== 'postgresql-client') await cp(join(examples, name), join(directory, name), { recursive: true })
    }
    const compilerOptions = {
      ...{
        allowJs: true,
        checkJs: true,
        noEmit: true,
        strict: true,
        noImplicitAny: false,
        useUnknownInCatchVariables: false,
      },
      ...{ module: 'nodenext', target: 'es2023', lib: ['es2023'], types: ['node'] },
    }
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*/*.js'] }))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', directory]).catch(
      (error: unknown) => error as { stdout: string },
    )
    expect(stdout).toBe('')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}, 60_000)
