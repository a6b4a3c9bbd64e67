import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { JwtBundle } from '../../src/bundle/index.js'
import { SvidFileWriter } from '../../src/files/index.js'
import type { FollowableSource, JwtFileSource, JwtFilesOptions } from '../../src/files/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { JwtSvid } from '../../src/svid/index.js'
import { createMint } from './identities.js'
import type { Identity } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const bundle = (domain: string) =>
  JwtBundle.fromAuthorities(TrustDomain.parse(domain), [{ keyId: `key of ${domain}`, publicKey }])

let identity: Identity
beforeAll(async () => {
  identity = await (await createMint())()
})

let count = 0

/** A token that nobody can verify: the files do not care. */
function token(audience: string, livesMs: number): JwtSvid {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = (Date.now() + livesMs) / 1000
  const claims = { sub: 'spiffe://example.org/files', aud: [audience], exp, jti: String(count++) }
  return JwtSvid.parseUnverified(`${part({ alg: 'ES256', kid: 'k' })}.${part(claims)}.${'A'.repeat(86)}`)
}

/** A source that a test turns by hand. */
class HandSource implements JwtFileSource {
  readonly asked: { audience: string; spiffeId: string }[] = []
  readonly #listeners = new Set<() => void>()
  bundles: JwtBundle[] = []

  get listeners(): number {
    return this.#listeners.size
  }

  give = (audience: string): Promise<JwtSvid> => Promise.resolve(token(audience, 3_600_000))

  getJwtSvid(audience: string | readonly string[], options: { spiffeId?: unknown } = {}): Promise<JwtSvid> {
    const [first] = [audience].flat() as [string]
    this.asked.push({ audience: first, spiffeId: String(options.spiffeId) })
    return this.give(first)
  }

  getJwtBundle(trustDomain: TrustDomain): JwtBundle | undefined {
    return this.bundles.find((bundle) => bundle.trustDomain.equals(trustDomain))
  }

  onUpdate(listener: () => void) {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  turn(...bundles: JwtBundle[]): void {
    this.bundles = bundles
    for (const listener of this.#listeners) listener()
  }
}

const x509: FollowableSource = { getX509Svid: () => identity.svid, getX509Bundle: () => identity.bundle }

async function openWriter(jwt: JwtFilesOptions): Promise<SvidFileWriter> {
  return SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs'), jwt })
}

const file = (writer: SvidFileWriter, name: string) => join(writer.paths.directory, name)
const jtiIn = (path: string) => JwtSvid.parseUnverified(readFileSync(path, 'utf8')).claims['jti']

test('tokens and keys lie beside the identity, the tokens with the mode of the key', async () => {
  const source = new HandSource()
  source.bundles = [bundle('example.org'), bundle('other.test')]
  const svids = [
    { name: 'vault.jwt', audience: 'vault' },
    { name: 'db.jwt', audience: ['db', 'db2'] },
  ]
  await using writer = await openWriter({ svids, bundle: 'jwks.json' })
  await writer.follow(x509, { jwt: source })

  const spiffeId = identity.svid.id.toString()
  expect(source.asked).toEqual([
    { audience: 'vault', spiffeId },
    { audience: 'db', spiffeId },
  ])
  for (const [name, audience] of [
    ['vault.jwt', 'vault'],
    ['db.jwt', 'db'],
  ] as const) {
    const path = file(writer, name)
    expect(JwtSvid.parseUnverified(readFileSync(path, 'utf8')).audience).toEqual([audience])
    expect(statSync(path).mode & 0o777).toBe(0o600)
  }
  const keysIn = (name: string) =>
    (JSON.parse(readFileSync(file(writer, name), 'utf8')) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
  expect(keysIn('jwks.json')).toEqual(['key of example.org'])
  expect(keysIn('federated/other.test.json')).toEqual(['key of other.test'])
  expect(readFileSync(writer.paths.certFile, 'utf8')).toBe(identity.svid.certificatesPem())
})

test('a token is renewed at half of its life, without an update of anything else', async () => {
  const source = new HandSource()
  source.give = (audience) => Promise.resolve(token(audience, 2_000))
  await using writer = await openWriter({ svids: [{ name: 'a.jwt', audience: 'a' }] })
  await writer.follow(x509, { jwt: source })
  const first = jtiIn(file(writer, 'a.jwt'))
  const at = performance.now()
  await expect.poll(() => jtiIn(file(writer, 'a.jwt')), { interval: 20, timeout: 5_000 }).not.toBe(first)
  expect(performance.now() - at).toBeGreaterThan(800)
})

test('new keys are written when they come', async () => {
  const source = new HandSource()
  source.bundles = [bundle('example.org')]
  await using writer = await openWriter({ bundle: 'jwks.json' })
  await writer.follow(x509, { jwt: source })
  expect(existsSync(file(writer, 'federated'))).toBe(false)
  source.turn(bundle('example.org'), bundle('late.test'))
  await expect.poll(() => existsSync(file(writer, 'federated/late.test.json'))).toBe(true)
})

test('a token that is not given is reported once and asked for again; the other files are there', async () => {
  const source = new HandSource()
  let refusals = 0
  source.give = (audience) => {
    if (audience === 'a' && refusals++ < 2) return Promise.reject(new Error('no such audience'))
    return Promise.resolve(token(audience, 3_600_000))
  }
  const svids = ['a', 'b'].map((name) => ({ name: `${name}.jwt`, audience: name }))
  await using writer = await openWriter({ svids })
  const failures: unknown[] = []
  await writer.follow(x509, { jwt: source, retryMs: 50, onFailed: (error) => failures.push(error) })
  expect(existsSync(file(writer, 'a.jwt'))).toBe(false)
  expect(existsSync(file(writer, 'b.jwt'))).toBe(true)
  expect(existsSync(writer.paths.keyFile)).toBe(true)
  await expect.poll(() => existsSync(file(writer, 'a.jwt')), { timeout: 5_000 }).toBe(true)
  expect(failures).toEqual([
    expect.objectContaining({
      code: 'ERR_FILE_WRITE_FAILED',
      message: expect.stringContaining('no such audience') as unknown,
    }),
  ])
})

test('an agent that does not answer for tokens holds up neither the identity nor close()', async () => {
  const source = new HandSource()
  source.give = () => new Promise(() => undefined)
  const writer = await openWriter({ svids: [{ name: 'a.jwt', audience: 'a' }] })
  let written!: () => void
  const first = new Promise<void>((resolve) => (written = resolve))
  void writer.follow(x509, { jwt: source, onWritten: () => written() }).catch(() => undefined)
  await first
  expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(identity.svid.privateKeyPem())
  await writer.close()
  expect(existsSync(writer.paths.directory)).toBe(false)
})

test('after close() nothing is asked for any more', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const source = new HandSource()
    source.bundles = [bundle('example.org')]
    const writer = await openWriter({ svids: [{ name: 'a.jwt', audience: 'a' }], bundle: 'jwks.json' })
    await writer.follow(x509, { jwt: source })
    expect(vi.getTimerCount()).toBeGreaterThan(0)
    expect(source.listeners).toBe(1)
    await writer.close()
    expect(vi.getTimerCount()).toBe(0)
    expect(source.listeners).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})

describe('what cannot be is refused', () => {
  for (const [reason, jwt] of [
    ['a name with a path', { svids: [{ name: '../a.jwt', audience: 'a' }] }],
    ['the name of another file', { bundle: 'svid.key' }],
    ['one name twice', { svids: [{ name: 'x', audience: 'a' }], bundle: 'x' }],
    ['no audience', { svids: [{ name: 'x', audience: [] }] }],
    ['an empty audience', { svids: [{ name: 'x', audience: '' }] }],
  ] as const)
    test(reason, async () => {
      await expect(openWriter(jwt as JwtFilesOptions)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    })

  test('to follow without a source of tokens', async () => {
    await using writer = await openWriter({ bundle: 'jwks.json' })
    await expect(writer.follow(x509)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
})
