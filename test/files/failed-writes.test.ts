import { execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import type * as FsPromises from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { SvidFileWriter } from '../../src/files/index.js'
import { buildForNode } from '../e2e/build-for-node.js'
import { createMint } from './identities.js'
import type { Identity } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

/** Which operation of the file system fails next, and how. */
const fault = vi.hoisted(() => ({ operation: '', code: '', after: 0 }))

/** How each file was opened, and its mode just before its first byte. */
const opened = vi.hoisted(() => [] as { name: string; flags: unknown; mode: string }[])

vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof FsPromises>()
  const fail = (operation: string) => {
    if (fault.operation !== operation || fault.after-- > 0) return
    fault.operation = ''
    throw Object.assign(new Error(`${fault.code}: injected, ${operation}`), { code: fault.code })
  }
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>): Promise<FsPromises.FileHandle> => {
      fail('open')
      const handle = await real.open(...args)
      const writeFile = handle.writeFile.bind(handle)
      handle.writeFile = async (data) => {
        const { mode, size } = await handle.stat()
        if (size === 0)
          opened.push({ name: basename(String(args[0])), flags: args[1], mode: (mode & 0o7777).toString(8) })
        if (fault.operation === 'writeFile' && fault.after === 0) await writeFile(String(data).slice(0, 20))
        fail('writeFile')
        await writeFile(data)
      }
      return handle
    },
    mkdir: (...args: Parameters<typeof real.mkdir>) => {
      fail('mkdir')
      return real.mkdir(...args)
    },
    rename: (...args: Parameters<typeof real.rename>) => {
      fail('rename')
      return real.rename(...args)
    },
  }
})

let mint: () => Promise<Identity>

beforeAll(async () => {
  mint = await createMint()
})

afterEach(() => {
  fault.operation = ''
})

test('a file with the key is new and private before its first byte', async () => {
  const umask = process.umask(0)
  try {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    opened.length = 0
    await writer.write(await mint())
    const secret = opened.filter(({ name }) => ['svid.key', 'svid.pem'].includes(name))
    // They are written side by side, so either may be the first.
    expect(secret.sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
      { name: 'svid.key', flags: 'wx', mode: '600' },
      { name: 'svid.pem', flags: 'wx', mode: '600' },
    ])
  } finally {
    process.umask(umask)
  }
})

describe('a failed write', () => {
  for (const [reason, injected] of [
    ['the disk is full', { operation: 'writeFile', code: 'ENOSPC', after: 0 }],
    ['the disk is full after the first file', { operation: 'writeFile', code: 'ENOSPC', after: 1 }],
    ['a file cannot be created', { operation: 'open', code: 'EDQUOT', after: 2 }],
    ['the file system is read-only', { operation: 'mkdir', code: 'EROFS', after: 0 }],
    ['permission is denied', { operation: 'mkdir', code: 'EACCES', after: 0 }],
    ['the switch fails', { operation: 'rename', code: 'EIO', after: 0 }],
  ] as const)
    test(`because ${reason} is reported, leaves the old files whole, and the next one succeeds`, async () => {
      await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
      const { directory, certFile, keyFile } = writer.paths
      const [first, second, third] = [await mint(), await mint(), await mint()]
      await writer.write(first)
      const entries = readdirSync(directory)

      Object.assign(fault, injected)
      const failed = writer.write(second)
      await expect(failed).rejects.toMatchObject({
        code: 'ERR_FILE_WRITE_FAILED',
        message: expect.stringContaining(directory) as unknown,
        cause: { code: injected.code },
      })
      expect(new X509Certificate(readFileSync(certFile)).serialNumber.toLowerCase()).toBe(first.svid.serialNumber)
      expect(readFileSync(keyFile, 'utf8')).toBe(first.svid.privateKeyPem())
      expect(readdirSync(directory).filter((name) => !name.endsWith('-link'))).toEqual(entries)

      await writer.write(third)
      const leaf = new X509Certificate(readFileSync(certFile))
      expect(leaf.serialNumber.toLowerCase()).toBe(third.svid.serialNumber)
      expect(leaf.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))).toBe(true)
    })

  test('does not hold back one that waits behind it', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const [first, second] = [await mint(), await mint()]
    Object.assign(fault, { operation: 'writeFile', code: 'ENOSPC', after: 0 })
    const results = await Promise.allSettled([writer.write(first), writer.write(second)])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
    expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(second.svid.privateKeyPem())
  })

  test('names what is in the way when `current` is a directory of somebody else', async () => {
    const certDir = await temporaryDirectory()
    mkdirSync(join(certDir, 'current'))
    writeFileSync(join(certDir, 'current', 'theirs'), '')
    await using writer = await SvidFileWriter.open({ certDir })
    await expect(writer.write(await mint())).rejects.toMatchObject({ code: 'ERR_FILE_WRITE_FAILED' })
    expect(readdirSync(certDir)).toContain('current')
    expect(readdirSync(join(certDir, 'current'))).toEqual(['theirs'])
  })

  test('does not fail open(): the next write makes the directory', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    Object.assign(fault, { operation: 'mkdir', code: 'EROFS', after: 1 })
    await using writer = await SvidFileWriter.open({ certDir })
    expect(readlinkOf(certDir)).toBeUndefined()
    await writer.write(await mint())
    expect(readlinkOf(certDir)).toMatch(/^\.svid-/)
  })
})

function readlinkOf(certDir: string): string | undefined {
  try {
    return readlinkSync(join(certDir, 'current'))
  } catch {
    return undefined
  }
}

/** A mount namespace of our own lets a test fill a real disk; not every machine gives one. */
const canMount = spawnSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0

describe.skipIf(!canMount)('on a real file system', () => {
  for (const [reason, options, remount, code] of [
    ['full', 'size=48k,mode=0700', '', 'ENOSPC'],
    ['read-only', 'size=1m,mode=0700', 'ro', 'EROFS'],
  ] as const)
    test(`that is ${reason} the old files stay whole`, async () => {
      const directory = await temporaryDirectory()
      const built = await buildForNode()
      const identities = []
      for (let i = 0; i < 2; i++) {
        const { svid, bundle } = await mint()
        const [chain, key, ca] = [svid.certificatesPem(), svid.privateKeyPem(), bundle.toPem()]
        identities.push({ svid: { chain, key }, bundle: { ca } })
      }
      const input = JSON.stringify({ files: built.files, directory, remount, identities })
      const script = join(import.meta.dirname, 'programs', 'write-under-pressure.mjs')
      const mount = `mount -t tmpfs -o ${options} none "$1" && exec "$2" "$3"`
      const output = execFileSync('unshare', ['-Urm', 'sh', '-c', mount, 'sh', directory, process.execPath, script], {
        input,
        encoding: 'utf8',
      })
      expect(JSON.parse(output)).toEqual({ code: 'ERR_FILE_WRITE_FAILED', cause: code, paired: true, serial: 'first' })
    })
})
