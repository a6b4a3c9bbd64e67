import { X509Certificate, createPrivateKey } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import { DevAgent } from '../../src/dev/agent/index.js'
import type { DevWorkload } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import type { QuickStartEvents, QuickStartOptions } from '../../src/quickstart/index.js'
import type { ClientTlsOptions } from '../../src/tls/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'

const webId = 'spiffe://example.org/web'

let agent: DevAgent
let web: DevWorkload
const opened: AsyncDisposable[] = []

beforeEach(async () => {
  agent = await DevAgent.start({ trustDomain: 'example.org' })
  web = await agent.workload(webId)
  opened.push(agent)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const thing of opened.splice(0).reverse()) await thing[Symbol.asyncDispose]()
})

async function initialize(options: QuickStartOptions = {}): Promise<QuickStartSVID> {
  const svid = await QuickStartSVID.initialize({ endpoint: web.endpoint, ...options })
  opened.push(svid)
  return svid
}

async function create(options: QuickStartOptions = {}): Promise<QuickStartSVID> {
  const svid = await QuickStartSVID.create({ endpoint: web.endpoint, ...options })
  opened.push(svid)
  return svid
}

function next<N extends keyof QuickStartEvents>(svid: QuickStartSVID, name: N): Promise<QuickStartEvents[N][0]> {
  return new Promise((resolve) => {
    const listener = (value: QuickStartEvents[N][0]) => resolve(value)
    svid.once(name, listener as Parameters<typeof svid.once<N>>[1])
  })
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push({
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

describe('an initialized QuickStartSVID', () => {
  test('knows who it is, in memory and on disk', async () => {
    const svid = await initialize()
    expect(svid.spiffeId).toBe(webId)
    expect(svid.trustDomain).toBe('example.org')
    expect(svid.expiresAt).toEqual(web.svid.expiresAt)
    expect(svid.isExpired()).toBe(false)
    expect(svid.certificate).toBe(web.svid.certificatesPem())
    expect(svid.privateKey).toBe(web.svid.privateKeyPem())
    expect(svid.trustBundle).toBe(agent.bundle.toPem())
    expect(svid.getCertificateDict()).toEqual({ cert: svid.certificate, key: svid.privateKey })
    expect(readFileSync(svid.certFilePath, 'utf8')).toBe(svid.certificate)
    expect(readFileSync(svid.keyFilePath, 'utf8')).toBe(svid.privateKey)
    expect(readFileSync(svid.caFilePath, 'utf8')).toBe(svid.trustBundle)
  })

  test('shows no key to console.log or JSON.stringify', async () => {
    const svid = await initialize()
    const body = svid.privateKey.split('\n')[1]!
    for (const shown of [
      inspect(svid, { depth: 20, showHidden: true }),
      JSON.stringify(svid),
      JSON.stringify(svid.status()),
    ]) {
      expect(shown).not.toContain('PRIVATE KEY')
      expect(shown).not.toContain(body)
    }
    expect(JSON.parse(JSON.stringify(svid))).toMatchObject({ spiffeId: webId, privateKey: '[redacted]' })
  })

  test('follows a rotation: event, memory, and the same file paths', async () => {
    const svid = await initialize()
    const paths = [svid.certFilePath, svid.keyFilePath, svid.caFilePath]
    const before = svid.getX509Svid().serialNumber
    const [rotated, written] = [next(svid, 'rotated'), next(svid, 'written')]
    await agent.rotate()
    expect(await rotated).toEqual({
      oldSerialNumber: before,
      newSerialNumber: web.svid.serialNumber,
      expiresAt: web.svid.expiresAt,
    })
    expect(svid.certificate).toBe(web.svid.certificatesPem())
    expect(await written).toMatchObject({ certFile: svid.certFilePath })
    expect([svid.certFilePath, svid.keyFilePath, svid.caFilePath]).toEqual(paths)
    const leaf = new X509Certificate(readFileSync(svid.certFilePath))
    expect(leaf.serialNumber.toLowerCase()).toBe(web.svid.serialNumber)
    expect(leaf.checkPrivateKey(createPrivateKey(readFileSync(svid.keyFilePath)))).toBe(true)
  })

  test('serves and calls https and undici, before and after a rotation', async () => {
    const apiId = 'spiffe://example.org/api'
    const client = await initialize()
    const server = await create({ endpoint: (await agent.workload(apiId)).endpoint })
    const url = await listen(
      server.createHttpsServer({ authorize: webId }, (_request, response) => response.end('paid')),
    )
    const https = client.httpsAgent({ authorize: apiId })
    const dispatcher = createDispatcher(client, { authorize: apiId })
    const call = async () => {
      const response = await new Promise<NodeJS.ReadableStream>((resolve, reject) => {
        get(url, { agent: https }, resolve).on('error', reject)
      })
      const fetched = await fetch(url, { dispatcher })
      return [await text(response), await fetched.text()]
    }
    expect(await call()).toEqual(['paid', 'paid'])
    const rotated = Promise.all([next(client, 'rotated'), next(server, 'rotated')])
    await agent.rotate()
    await rotated
    expect(await call()).toEqual(['paid', 'paid'])
    await dispatcher.close()
    https.destroy()
  })

  test('fetches and validates JWT-SVIDs', async () => {
    const svid = await initialize()
    const token = await svid.fetchJwtSvid(['target-api'])
    expect(token.split('.')).toHaveLength(3)
    expect(await svid.fetchJwtSvid('target-api')).toBe(token)
    expect(await svid.validateJwtSvid(token, 'target-api')).toMatchObject({
      spiffeId: webId,
      claims: { sub: webId },
    })
    const refused: unknown = await svid.validateJwtSvid(token, 'other-api').catch((error: unknown) => error)
    expect(refused).toMatchObject({ name: 'UntrustedPeerError', code: 'ERR_JWT_SVID_AUDIENCE' })
    expect(inspect(refused, { depth: 10 })).not.toContain(token.split('.')[2])
    await expect(svid.fetchJwtSvid([])).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  test('demands an authorizer of whoever names no peer, by every name', async () => {
    const svid = await initialize()
    const none = {} as ClientTlsOptions
    for (const call of [
      () => svid.createTlsOptionsForClient(none),
      () => svid.createSslContextForClient(),
      () => svid.httpsAgent(none),
      () => svid.createHttpsServer({} as { authorize: string }),
    ])
      expect(call).toThrow(
        expect.objectContaining({
          code: 'ERR_AUTHORIZER_REQUIRED',
          message: expect.stringContaining('{ authorize: ') as unknown,
        }) as Error,
      )
    expect(svid.createSslContextForClient({ authorize: webId }).rejectUnauthorized).toBe(true)
    expect(svid.createSslContextForServer().requestCert).toBe(true)
  })

  test('takes the SVID and only the SPIFFE ID that it was told to', async () => {
    const { endpoint } = await agent.workload(webId, {
      also: [{ id: 'spiffe://example.org/web/admin', hint: 'admin' }],
    })
    const svid = await create({ endpoint, pickSvid: { hint: 'admin' } })
    expect(svid.spiffeId).toBe('spiffe://example.org/web/admin')
    await expect(
      create({ endpoint, expectedSpiffeId: 'spiffe://example.org/other', initialTimeoutMs: 300 }),
    ).rejects.toMatchObject({ code: 'ERR_SPIFFE_ID_UNEXPECTED' })
  })
})

describe('the shared instance', () => {
  test('is one for calls at the same time, and for get()', async () => {
    expect(() => QuickStartSVID.get()).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error)
    const [one, two] = await Promise.all([initialize(), initialize()])
    expect(one).toBe(two)
    expect(await initialize({ endpoint: web.endpoint.replace('unix://', 'unix:') })).toBe(one)
    expect(QuickStartSVID.get()).toBe(one)
    expect(await QuickStartSVID.initialize()).toBe(one)
  })

  test('is refused to a call that asks for another endpoint, directory or identity', async () => {
    const svid = await initialize()
    const other = await agent.workload('spiffe://example.org/other')
    for (const options of [
      { endpoint: other.endpoint },
      { certDir: dirname(svid.certFilePath) + '-2' },
      { expectedSpiffeId: webId },
    ])
      await expect(QuickStartSVID.initialize(options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(await initialize()).toBe(svid)
  })

  test('is made afresh after shutdown(), which removes the files and is safe to repeat', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    const first = await initialize({ certDir })
    const { certFilePath } = first
    await Promise.all([first.shutdown(), first.shutdown()])
    await first.close()
    expect(existsSync(certDir)).toBe(false)
    expect(() => QuickStartSVID.get()).toThrow()
    expect(() => first.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }) as Error)
    expect(first.status()).toMatchObject({ ready: false, health: 'unhealthy' })

    const second = await initialize({ certDir })
    expect(second).not.toBe(first)
    expect(second.certFilePath).toBe(certFilePath)
    void second.shutdown()
    // Without waiting for the other to have left.
    const third = await initialize({ certDir })
    expect(existsSync(third.certFilePath)).toBe(true)
  })

  test('is not touched by instances of create()', async () => {
    const shared = await initialize()
    const own = await create()
    expect(own).not.toBe(shared)
    expect(own.certFilePath).not.toBe(shared.certFilePath)
    await own.shutdown()
    expect(QuickStartSVID.get()).toBe(shared)
    expect(existsSync(shared.certFilePath)).toBe(true)
  })

  test('takes the positional form of the Python original', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    const svid = await QuickStartSVID.initialize(web.endpoint.replace('unix://', ''), certDir)
    opened.push(svid)
    expect(svid.spiffeId).toBe(webId)
    expect(svid.certFilePath).toBe(join(certDir, 'svid.crt'))
    expect(await initialize()).toBe(svid)
  })

  test('asks the endpoint of the environment when no option names one', async () => {
    vi.stubEnv('SPIFFE_ENDPOINT_SOCKET', web.endpoint)
    const svid = await QuickStartSVID.initialize()
    opened.push(svid)
    expect(svid.spiffeId).toBe(webId)
  })

  for (const variable of [undefined, ''])
    test(`asks the usual socket when the environment names ${variable === '' ? 'an empty one' : 'none'}`, async () => {
      vi.stubEnv('SPIFFE_ENDPOINT_SOCKET', variable)
      await expect(QuickStartSVID.initialize({ initialTimeoutMs: 100 })).rejects.toMatchObject({
        endpoint: 'unix:///run/spire/sockets/agent.sock',
      })
    })
})

describe('files', () => {
  test('that cannot be written do not stop initialize(): a warning says so, and they follow when they can', async () => {
    const inTheWay = join(await temporaryDirectory(), 'file')
    writeFileSync(inTheWay, '')
    const svid = await create({ certDir: join(inTheWay, 'certs') })
    const warning = await next(svid, 'warning')
    expect(warning).toMatchObject({ error: { code: 'ERR_FILE_WRITE_FAILED', cause: { code: 'ENOTDIR' } } })
    expect(svid.spiffeId).toBe(webId)
    expect(svid.getX509Svid().equals(web.svid)).toBe(true)
    expect(svid.status()).toMatchObject({
      ready: true,
      files: { writtenAt: undefined, lastError: { code: 'ERR_FILE_WRITE_FAILED' } },
    })
    rmSync(inTheWay)
    const written = next(svid, 'written')
    await agent.rotate()
    await written
    expect(readFileSync(svid.certFilePath, 'utf8')).toBe(svid.certificate)
    expect(svid.status().files).toMatchObject({ writtenAt: expect.any(Date) as unknown, lastError: undefined })
  })

  test('in a directory that others can write to stop it', async () => {
    const certDir = await temporaryDirectory()
    chmodSync(certDir, 0o777)
    await expect(create({ certDir })).rejects.toMatchObject({ code: 'ERR_DIRECTORY_UNSAFE' })
  })

  test('are not written with files: false', async () => {
    const svid = await create({ files: false })
    expect(svid.spiffeId).toBe(webId)
    expect(() => svid.certFilePath).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error)
    expect(svid.status().files).toBeUndefined()
    await expect(create({ files: false, certDir: '/tmp/x' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  test('have the names and hooks that were asked for; a hook that fails is a warning', async () => {
    const svid = await create({
      files: { names: { cert: 'tls.crt' }, afterWrite: { call: () => Promise.reject(new Error('no')) } },
    })
    expect(svid.certFilePath).toMatch(/\/tls\.crt$/)
    expect(await next(svid, 'warning')).toMatchObject({ error: { code: 'ERR_FILE_HOOK_FAILED' } })
  })

  test('include JWT-SVIDs and JWT bundles on request, from the first moment on', async () => {
    const foreign = await DevAgent.start({ trustDomain: 'other.test' })
    opened.push(foreign)
    agent.federateWith(foreign)
    const jwt = { svids: [{ name: 'vault.jwt', audience: 'vault' }], bundle: 'jwks.json' }
    const svid = await create({ files: { jwt } })
    const read = (name: string) => readFileSync(join(dirname(svid.certFilePath), name), 'utf8')
    expect(await svid.validateJwtSvid(read('vault.jwt'), 'vault')).toMatchObject({ spiffeId: webId })
    for (const name of ['jwks.json', 'federated/other.test.json']) {
      expect(JSON.parse(read(name))).toEqual({ keys: [expect.objectContaining({ use: 'jwt-svid' })] })
    }
    await svid.shutdown()
    expect(existsSync(svid.certFilePath)).toBe(false)
  })

  test('include the bundles of federated trust domains', async () => {
    const partner = await DevAgent.start({ trustDomain: 'partner.example' })
    opened.push(partner)
    agent.federateWith(partner)
    const svid = await create()
    const path = join(dirname(svid.caFilePath), 'federated', 'partner.example.crt')
    expect(readFileSync(path, 'utf8')).toBe(partner.bundle.toPem())
  })
})

describe('the life of an identity', () => {
  test('a withdrawal and a return are told, and the identity is not used in between', async () => {
    const svid = await create()
    const withdrawn = next(svid, 'withdrawn')
    web.withdraw()
    expect(await withdrawn).toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED' })
    expect(() => svid.certificate).toThrow(expect.objectContaining({ code: 'ERR_SVID_WITHDRAWN' }) as Error)
    expect(svid.spiffeId).toBe(webId)
    expect(svid.status()).toMatchObject({ ready: false, health: 'degraded' })
    const [restored, rotated] = [next(svid, 'restored'), next(svid, 'rotated')]
    await web.restore()
    await Promise.all([restored, rotated])
    expect(svid.status()).toMatchObject({ ready: true, health: 'healthy' })
    expect(svid.getX509Svid().equals(web.svid)).toBe(true)
  })

  test('an agent that is away is told once, and its return as well; the identity stays', async () => {
    const svid = await create()
    const told: string[] = []
    for (const name of ['unavailable', 'restored', 'withdrawn'] as const) svid.on(name, () => told.push(name))
    const retried = new Promise<void>((resolve) => {
      let count = 0
      svid.source.on('retry', () => ++count === 3 && resolve())
    })
    const unavailable = next(svid, 'unavailable')
    await web.steering.die()
    expect(await unavailable).toMatchObject({ code: expect.stringMatching(/^ERR_WORKLOAD_API_/) as unknown })
    await retried
    expect(svid.getX509Svid().serialNumber).toBe(web.svid.serialNumber)
    expect(svid.status()).toMatchObject({ ready: true, health: 'degraded' })
    const restored = next(svid, 'restored')
    await web.steering.comeBack()
    await restored
    expect(told).toEqual(['unavailable', 'restored'])
  })

  test('a stream that ends and stands again is no outage', async () => {
    const svid = await create()
    const told: string[] = []
    svid.on('unavailable', () => told.push('unavailable'))
    const again = new Promise<void>((resolve) => {
      svid.source.on('state', (state) => state === 'ready' && resolve())
    })
    web.steering.endStreams()
    await again
    expect(told).toEqual([])
  })

  test('an identity that is not renewed is told when it expires soon, and when it has', async () => {
    const { endpoint, steering } = await agent.workload('spiffe://example.org/brief', { svidTtlMs: 3_000 })
    const svid = await create({ endpoint })
    const { serialNumber } = svid.getX509Svid()
    const [expiring, expired] = [next(svid, 'expiring'), next(svid, 'expired')]
    steering.stall()
    steering.cut()
    expect(await expiring).toEqual({ serialNumber, expiresAt: svid.expiresAt })
    expect(await expired).toEqual({ serialNumber, expiresAt: svid.expiresAt })
    expect(svid.isExpired()).toBe(true)
    expect(svid.spiffeId).toBe('spiffe://example.org/brief')
    expect(() => svid.privateKey).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }) as Error)
    expect(svid.status()).toMatchObject({ ready: false })
    // On disk is still what was last good.
    expect(existsSync(svid.certFilePath)).toBe(true)
    const restored = next(svid, 'restored')
    steering.behave()
    await restored
    expect(svid.isExpired()).toBe(false)
  })
})

describe('an instance that does not wait', () => {
  test('is there before its identity, and says when that comes', async () => {
    await web.steering.die()
    const svid = await initialize({ wait: false })
    expect(svid.isExpired()).toBe(true)
    expect(svid.status()).toMatchObject({ ready: false, health: 'degraded' })
    for (const ask of [() => svid.spiffeId, () => svid.certificate, () => svid.trustBundle])
      expect(ask).toThrow(expect.objectContaining({ code: 'ERR_WORKLOAD_API_UNAVAILABLE' }) as Error)
    expect(inspect(svid)).toContain('QuickStartSVID')
    expect(JSON.stringify(svid)).not.toContain('PRIVATE')

    const [ready, written] = [next(svid, 'ready'), next(svid, 'written')]
    await web.steering.comeBack()
    await Promise.all([ready, written])
    expect(svid.spiffeId).toBe(webId)
    expect(svid.status().ready).toBe(true)
    expect(readFileSync(svid.certFilePath, 'utf8')).toBe(svid.certificate)
  })

  test('is shared with a call that waits, which gets it when it is ready, or is told in time why it is not', async () => {
    await web.steering.die()
    const svid = await initialize({ wait: false })
    await expect(initialize({ initialTimeoutMs: 50 })).rejects.toMatchObject({
      code: 'ERR_WORKLOAD_API_UNAVAILABLE',
      endpoint: web.endpoint,
    })
    const reason = new Error('enough')
    await expect(initialize({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const waiting = initialize()
    await web.steering.comeBack()
    expect(await waiting).toBe(svid)
    expect(svid.spiffeId).toBe(webId)
  })
})
