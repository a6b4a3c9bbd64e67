import { createPrivateKey } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DevAuthority } from '../../src/dev/authority/index.js'
import { SvidFileWriter, X509FileSource } from '../../src/files/index.js'
import type { X509FileSourceOptions } from '../../src/files/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { createMint } from './identities.js'
import type { Identity } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

let mint: () => Promise<Identity>
const opened: X509FileSource[] = []

beforeAll(async () => {
  mint = await createMint(2)
})

afterEach(async () => {
  for (const source of opened.splice(0)) await source.close()
  vi.useRealTimers()
})

async function openSource(options: X509FileSourceOptions): Promise<X509FileSource> {
  const source = await X509FileSource.open({ pollMs: 50, initialTimeoutMs: 5_000, ...options })
  opened.push(source)
  return source
}

/** Writes the three files one after the other, as programs without generations do. */
function writePlain(directory: string, { svid, bundle }: Identity, names = ['svid.crt', 'svid.key', 'ca.crt']): void {
  const contents = [svid.certificatesPem(), svid.privateKeyPem(), bundle.toPem()]
  for (const [index, name] of names.entries()) writeFileSync(join(directory, name), contents[index]!)
}

async function untilServed(source: X509FileSource, { svid }: Identity): Promise<void> {
  for await (const context of source.updates()) if (context.defaultSvid.equals(svid)) return
}

describe('a file source', () => {
  test('follows a writer over its rotations', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const first = await mint()
    await writer.write(first)
    const source = await openSource({ directory: writer.paths.directory })
    expect(source.getX509Svid().equals(first.svid)).toBe(true)
    expect(source.getX509Bundle(TrustDomain.parse('example.org'))!.equals(first.bundle)).toBe(true)
    expect(source.getX509Bundle(TrustDomain.parse('other.example'))).toBeUndefined()

    let calls = 0
    source.onUpdate(() => calls++)
    const second = await mint()
    await writer.write(second)
    await untilServed(source, second)
    expect(calls).toBe(1)
    expect(source.getX509Bundle(TrustDomain.parse('example.org'))!.equals(second.bundle)).toBe(true)
  })

  test('reads the bundles of other trust domains', async () => {
    const other = await DevAuthority.create({ trustDomain: 'partner.example' })
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    await writer.write({ ...(await mint()), federated: [other.bundle()] })
    const source = await openSource({ directory: writer.paths.directory })
    expect(source.getX509Bundle(other.trustDomain)!.equals(other.bundle())).toBe(true)
    expect([...source.context.bundles].map(({ trustDomain }) => trustDomain.name).sort()).toEqual([
      'example.org',
      'partner.example',
    ])
  })

  test('takes key and chain from one file', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const identity = await mint()
    await writer.write(identity)
    const { combinedFile, caFile } = writer.paths
    const source = await openSource({ certFile: combinedFile, keyFile: combinedFile, caFile })
    expect(source.getX509Svid().equals(identity.svid)).toBe(true)
  })

  test('reads DER as well', async () => {
    const other = await DevAuthority.create({ trustDomain: 'partner.example' })
    await using writer = await SvidFileWriter.open({
      certDir: join(await temporaryDirectory(), 'certs'),
      format: 'der',
    })
    const identity = await mint()
    await writer.write({ ...identity, federated: [other.bundle()] })
    const source = await openSource({ directory: writer.paths.directory })
    expect(source.getX509Svid().equals(identity.svid)).toBe(true)
    expect(source.getX509Bundle(other.trustDomain)!.equals(other.bundle())).toBe(true)
  })

  test('follows a Kubernetes volume, which is switched by its ..data link', async () => {
    const directory = await temporaryDirectory()
    const names = ['tls.crt', 'tls.key', 'ca.crt']
    const publish = (generation: string, identity: Identity) => {
      mkdirSync(join(directory, generation))
      writePlain(join(directory, generation), identity, names)
      symlinkSync(generation, join(directory, '..data_tmp'))
      renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
    }
    const [first, second] = [await mint(), await mint()]
    publish('..2026_01', first)
    for (const name of names) symlinkSync(join('..data', name), join(directory, name))
    const source = await openSource({ directory, names: { cert: 'tls.crt', key: 'tls.key' } })
    expect(source.getX509Svid().equals(first.svid)).toBe(true)

    publish('..2026_02', second)
    rmSync(join(directory, '..2026_01'), { recursive: true })
    await untilServed(source, second)
  })

  test('follows plain files that are rewritten one by one, and never pairs halves of two generations', async () => {
    const directory = await temporaryDirectory()
    const identities = await Promise.all(Array.from({ length: 30 }, () => mint()))
    writePlain(directory, identities[0]!)
    const source = await openSource({ directory })
    const known = new Map(identities.map((identity) => [identity.svid.serialNumber, identity]))
    let seen = 0
    source.onUpdate(() => {
      const { defaultSvid, bundles } = source.context
      const { svid, bundle } = known.get(defaultSvid.serialNumber)!
      expect(defaultSvid.equals(svid)).toBe(true)
      expect(bundles.getX509Bundle(bundle.trustDomain)!.equals(bundle)).toBe(true)
      seen++
    })
    for (const { svid, bundle } of identities) {
      for (const [name, content] of [
        ['svid.crt', svid.certificatesPem()],
        ['svid.key', svid.privateKeyPem()],
        ['ca.crt', bundle.toPem()],
      ] as const) {
        writeFileSync(join(directory, name), content)
        // The source looks at every state in between.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await untilServed(source, identities.at(-1)!)
    expect(seen).toBeGreaterThan(0)
  })

  for (const [reason, spoil] of [
    [
      'the certificate is newer than the key',
      (directory: string, { svid }: Identity) => writeFileSync(join(directory, 'svid.crt'), svid.certificatesPem()),
    ],
    [
      'the bundle does not prove the certificate',
      (directory: string, { bundle }: Identity) => writeFileSync(join(directory, 'ca.crt'), bundle.toPem()),
    ],
    [
      'a file is cut off',
      (directory: string, { svid }: Identity) =>
        writeFileSync(join(directory, 'svid.key'), svid.privateKeyPem().slice(0, 90)),
    ],
    ['a file is gone', (directory: string) => rmSync(join(directory, 'svid.key'))],
    ['the directory is gone', (directory: string) => rmSync(directory, { recursive: true })],
  ] as const)
    test(`keeps the last good identity while ${reason}, says so, and goes on when it is mended`, async () => {
      const directory = join(await temporaryDirectory(), 'certs')
      mkdirSync(directory)
      const [first, second] = [await mint(), await mint()]
      writePlain(directory, first)
      const source = await openSource({ directory })
      const warned = new Promise((resolve) => source.once('warning', resolve))
      spoil(directory, second)
      expect(await warned).toMatchObject({ code: 'ERR_FILE_READ_FAILED' })
      expect(source.getX509Svid().equals(first.svid)).toBe(true)

      mkdirSync(directory, { recursive: true })
      writePlain(directory, second)
      await untilServed(source, second)
    })

  for (const [type, label] of [
    ['sec1', 'EC PRIVATE KEY'],
    ['pkcs8', 'PRIVATE KEY'],
  ] as const)
    test(`reads a key that is written as ${label}`, async () => {
      const directory = await temporaryDirectory()
      const identity = await mint()
      writePlain(directory, identity)
      const pem = createPrivateKey(identity.svid.privateKeyPem()).export({ type, format: 'pem' }).toString()
      expect(pem).toContain(`BEGIN ${label}`)
      writeFileSync(join(directory, 'svid.key'), pem)
      const source = await openSource({ directory })
      expect(source.getX509Svid().equals(identity.svid)).toBe(true)
    })

  test('throws when nobody has renewed the files in time', async () => {
    const directory = await temporaryDirectory()
    const identity = await mint()
    writePlain(directory, identity)
    const source = await openSource({ directory })
    vi.useFakeTimers({ toFake: ['Date'], now: identity.svid.expiresAt.getTime() + 1 })
    expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }) as Error)
    expect(source.context.defaultSvid.equals(identity.svid)).toBe(true)
  })

  test('ends with close', async () => {
    const directory = await temporaryDirectory()
    writePlain(directory, await mint())
    const source = await openSource({ directory })
    const updates = source.updates()
    await updates.next()
    const next = updates.next()
    await source.close()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(() => source.getX509Svid()).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }) as Error)
  })
})

describe('opening', () => {
  test('waits for files that are not there yet', async () => {
    const directory = join(await temporaryDirectory(), 'later')
    const opening = openSource({ directory })
    const identity = await mint()
    mkdirSync(directory)
    writePlain(directory, identity)
    expect((await opening).getX509Svid().equals(identity.svid)).toBe(true)
  })

  test('rejects in time and says what was wrong', async () => {
    const directory = await temporaryDirectory()
    writePlain(directory, await mint())
    writeFileSync(join(directory, 'svid.key'), (await mint()).svid.privateKeyPem())
    await expect(openSource({ directory, initialTimeoutMs: 100 })).rejects.toMatchObject({
      code: 'ERR_FILE_READ_FAILED',
      message: expect.stringContaining(directory) as unknown,
      cause: { code: 'ERR_X509_SVID_KEY_MISMATCH' },
    })
  })

  test('rejects with the reason of the signal', async () => {
    const reason = new Error('enough')
    const directory = await temporaryDirectory()
    await expect(openSource({ directory, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const later = new AbortController()
    const opening = openSource({ directory, signal: later.signal })
    later.abort(reason)
    await expect(opening).rejects.toBe(reason)
  })

  test('refuses times that are none', async () => {
    const directory = await temporaryDirectory()
    writePlain(directory, await mint())
    for (const times of [{ pollMs: 0 }, { pollMs: NaN }, { pollMs: -1 }, { initialTimeoutMs: NaN }]) {
      await expect(X509FileSource.open({ directory, ...times })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
  })

  for (const pollMs of [2 ** 31, Infinity])
    test(`looks at the files seldom, not always, with pollMs ${pollMs}`, async () => {
      const directory = await temporaryDirectory()
      writePlain(directory, await mint())
      const timer = vi.spyOn(globalThis, 'setInterval')
      onTestFinished(() => timer.mockRestore())
      const source = await X509FileSource.open({ directory, pollMs })
      await source.close()
      for (const [, ms] of timer.mock.calls) expect(ms).toBeLessThan(2 ** 31)
    })

  test('refuses a location that is none', async () => {
    await expect(X509FileSource.open({} as X509FileSourceOptions)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
    await expect(X509FileSource.open({ directory: '' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
})
