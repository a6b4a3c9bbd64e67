import { spawnSync } from 'node:child_process'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { chmodSync, lstatSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { DevAuthority } from '../../src/dev/authority/index.js'
import { SvidFileWriter } from '../../src/files/index.js'
import type { SvidFilePaths, SvidFileWriterOptions } from '../../src/files/index.js'
import { createMint } from './identities.js'
import type { Identity } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

let mint: () => Promise<Identity>

beforeAll(async () => {
  mint = await createMint(2)
})

function mode(path: string): string {
  return (lstatSync(path).mode & 0o7777).toString(8)
}

function serialOnDisk(paths: SvidFilePaths): string {
  return new X509Certificate(readFileSync(paths.certFile)).serialNumber.toLowerCase()
}

describe('the files', () => {
  test('are the chain, the key, the bundle, and key and chain in one', async () => {
    const identity = await mint()
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    await writer.write(identity)

    const { certFile, keyFile, caFile, combinedFile } = writer.paths
    const leaf = new X509Certificate(readFileSync(certFile))
    expect(leaf.subjectAltName).toBe('URI:spiffe://example.org/files')
    expect(leaf.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))).toBe(true)
    expect(readFileSync(keyFile, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----\n[^]+-----END PRIVATE KEY-----\n$/)
    expect(leaf.verify(new X509Certificate(readFileSync(caFile)).publicKey)).toBe(true)
    expect(readFileSync(combinedFile, 'utf8')).toBe(readFileSync(keyFile, 'utf8') + readFileSync(certFile, 'utf8'))
  })

  test('have private modes whatever the umask says', async () => {
    const before = process.umask(0)
    try {
      const parent = await temporaryDirectory()
      await using writer = await SvidFileWriter.open({ certDir: join(parent, 'certs') })
      await writer.write(await mint())
      const { directory, certFile, keyFile, caFile, combinedFile } = writer.paths
      expect(mode(directory)).toBe('700')
      expect(mode(join(directory, readlinkSync(join(directory, 'current'))))).toBe('700')
      expect(await Promise.all([keyFile, combinedFile].map(async (path) => (await stat(path)).mode & 0o777))).toEqual([
        0o600, 0o600,
      ])
      expect(await Promise.all([certFile, caFile].map(async (path) => (await stat(path)).mode & 0o777))).toEqual([
        0o644, 0o644,
      ])
    } finally {
      process.umask(before)
    }
  })

  test('are switched by replacing one link, and keep their paths', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const { paths } = writer
    const [first, second] = [await mint(), await mint()]

    await writer.write(first)
    const generation = readlinkSync(join(paths.directory, 'current'))
    const stable = lstatSync(paths.certFile).ino
    expect(serialOnDisk(paths)).toBe(first.svid.serialNumber)

    await writer.write(second)
    expect(readlinkSync(join(paths.directory, 'current'))).not.toBe(generation)
    expect(lstatSync(paths.certFile).ino).toBe(stable)
    expect(readlinkSync(paths.keyFile)).toBe('current/svid.key')
    expect(serialOnDisk(paths)).toBe(second.svid.serialNumber)
  })

  test('leave the previous generation for late readers, and no older one', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const generations = () => readdirSync(writer.paths.directory).filter((name) => name.startsWith('.svid-')).length
    const counts = []
    for (let i = 0; i < 5; i++) {
      await writer.write(await mint())
      counts.push(generations())
    }
    expect(counts).toEqual([1, 2, 2, 2, 2])
  })

  test('include one bundle for each other trust domain', async () => {
    const other = await DevAuthority.create({ trustDomain: 'partner.example' })
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const identity = await mint()
    await writer.write({ ...identity, federated: [identity.bundle, other.bundle()] })
    const { federatedDirectory } = writer.paths
    expect(readdirSync(federatedDirectory)).toEqual(['partner.example.crt'])
    expect(readFileSync(join(federatedDirectory, 'partner.example.crt'), 'utf8').trim()).toBe(
      other.bundle().toPem().trim(),
    )
  })

  test('replace plain files of the same names that lie there already', async () => {
    const certDir = await temporaryDirectory()
    for (const name of ['svid.crt', 'svid.key', 'ca.crt']) writeFileSync(join(certDir, name), 'old')
    await using writer = await SvidFileWriter.open({ certDir })
    const identity = await mint()
    await writer.write(identity)
    expect(serialOnDisk(writer.paths)).toBe(identity.svid.serialNumber)
  })
})

describe('writes', () => {
  test('do not overlap: of those made during a write only the newest is written', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const identities = await Promise.all(Array.from({ length: 6 }, () => mint()))
    await Promise.all(identities.map((identity) => writer.write(identity)))
    expect(serialOnDisk(writer.paths)).toBe(identities.at(-1)!.svid.serialNumber)
    // The first and the newest: two generations, not six.
    expect(readlinkSync(join(writer.paths.directory, 'current'))).toMatch(/-2$/)
  })

  test('are refused after close', async () => {
    const writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    await writer.close()
    await expect(writer.write(await mint())).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })

  test('that were under way when close was called are removed as well', async () => {
    const parent = await temporaryDirectory()
    const writer = await SvidFileWriter.open({ certDir: join(parent, 'certs') })
    const writes = [writer.write(await mint()), writer.write(await mint())]
    await writer.close()
    await Promise.all(writes)
    expect(readdirSync(parent)).toEqual([])
  })
})

describe('the directory', () => {
  test('has a random name in the temporary directory by default, and goes away with close', async () => {
    const writers = await Promise.all([SvidFileWriter.open(), SvidFileWriter.open()])
    const [one, two] = writers.map((writer) => writer.paths.directory)
    try {
      expect(dirname(one!)).toBe(tmpdir())
      expect(one).not.toBe(two)
      await writers[0].write(await mint())
      expect(mode(one!)).toBe('700')
    } finally {
      await Promise.all(writers.map((writer) => writer.close()))
    }
    expect(readdirSync(tmpdir()).map((name) => join(tmpdir(), name))).not.toContain(one)
    expect(process.listeners('exit').filter(({ name }) => name === 'removeAll')).toEqual([])
  })

  test('keeps what is not ours when it is cleared at close', async () => {
    const certDir = await temporaryDirectory()
    writeFileSync(join(certDir, 'nginx.conf'), 'theirs')
    const writer = await SvidFileWriter.open({ certDir })
    await writer.write(await mint())
    await writer.close()
    await writer.close()
    expect(readdirSync(certDir)).toEqual(['nginx.conf'])
  })

  test('is cleaned of what a crashed writer left', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    await mkdir(certDir, { mode: 0o700 })
    for (const left of ['.svid-0123456789abcdef-6', '.svid-0123456789abcdef-7', '.svid-0123456789abcdef-8']) {
      await mkdir(join(certDir, left))
      writeFileSync(join(certDir, left, 'svid.key'), left)
    }
    symlinkSync('.svid-0123456789abcdef-7', join(certDir, 'current'))
    symlinkSync('current/svid.key', join(certDir, 'svid.key'))
    symlinkSync('nowhere', join(certDir, '.svid-0123456789abcdef-link'))

    const writer = await SvidFileWriter.open({ certDir })
    expect(readdirSync(certDir).sort()).toEqual(['.svid-0123456789abcdef-7', 'current', 'svid.key'])
    expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe('.svid-0123456789abcdef-7')

    await writer.write(await mint())
    await writer.write(await mint())
    expect(readdirSync(certDir).filter((name) => name.includes('0123456789abcdef'))).toEqual([])
    await writer.close()
    expect(readdirSync(certDir)).toEqual([])
  })

  test('belongs to the writer that came last: an earlier one stops and removes nothing of it', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    const earlier = await SvidFileWriter.open({ certDir })
    await earlier.write(await mint())
    // What another process does when it starts in the same directory.
    await mkdir(join(certDir, '.svid-0123456789abcdef-1'))
    writeFileSync(join(certDir, '.svid-0123456789abcdef-1', 'svid.crt'), 'theirs')
    const { rename } = await import('node:fs/promises')
    symlinkSync('.svid-0123456789abcdef-1', join(certDir, 'next'))
    await rename(join(certDir, 'next'), join(certDir, 'current'))

    await expect(earlier.write(await mint())).rejects.toMatchObject({
      code: 'ERR_FILE_WRITE_FAILED',
      message: expect.stringContaining('another process') as unknown,
    })
    await earlier.close()
    expect(readFileSync(join(certDir, 'svid.crt'), 'utf8')).toBe('theirs')
  })

  test('is not shared by two writers of one process', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    const first = await SvidFileWriter.open({ certDir })
    await expect(SvidFileWriter.open({ certDir: `${certDir}/` })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
    const closing = first.close()
    // A writer that is about to leave is waited for.
    const second = await SvidFileWriter.open({ certDir })
    await closing
    await second.write(await mint())
    await second.close()
  })

  for (const [reason, prepare, finding] of [
    ['everyone may write to it', (path: string) => chmodSync(path, 0o777), 'mode 0777'],
    ['its group may write to it', (path: string) => chmodSync(path, 0o770), 'mode 0770'],
  ] as const)
    test(`is refused when ${reason}`, async () => {
      const certDir = await temporaryDirectory()
      prepare(certDir)
      await expect(SvidFileWriter.open({ certDir })).rejects.toMatchObject({
        code: 'ERR_DIRECTORY_UNSAFE',
        message: expect.stringContaining(finding) as unknown,
      })
      expect(readdirSync(certDir)).toEqual([])
    })

  for (const end of ['', '/', '/.'])
    test(`is refused when it is a symbolic link (written link${end})`, async () => {
      const link = join(await temporaryDirectory(), 'link')
      symlinkSync(await temporaryDirectory(), link)
      await expect(SvidFileWriter.open({ certDir: link + end })).rejects.toMatchObject({
        code: 'ERR_DIRECTORY_UNSAFE',
        message: expect.stringContaining('symbolic link') as unknown,
      })
    })

  test('is refused when it is a file', async () => {
    const certDir = join(await temporaryDirectory(), 'file')
    writeFileSync(certDir, '')
    await expect(SvidFileWriter.open({ certDir })).rejects.toMatchObject({ code: 'ERR_DIRECTORY_UNSAFE' })
  })

  test('is refused when another user owns it', async () => {
    const certDir = await temporaryDirectory()
    const user = vi.spyOn(process, 'geteuid').mockReturnValue(lstatSync(certDir).uid + 1)
    try {
      await expect(SvidFileWriter.open({ certDir })).rejects.toMatchObject({
        code: 'ERR_DIRECTORY_UNSAFE',
        message: expect.stringContaining('belongs to user') as unknown,
      })
    } finally {
      user.mockRestore()
    }
  })

  test('is refused at a write when it has become unsafe, and nothing is written into it', async () => {
    const certDir = join(await temporaryDirectory(), 'certs')
    const writer = await SvidFileWriter.open({ certDir })
    chmodSync(certDir, 0o777)
    await expect(writer.write(await mint())).rejects.toMatchObject({ code: 'ERR_DIRECTORY_UNSAFE' })
    expect(readdirSync(certDir)).toEqual([])
    await writer.close()
  })

  test('is made again when someone removed it', async () => {
    const { rm } = await import('node:fs/promises')
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'a', 'certs') })
    await writer.write(await mint())
    await rm(dirname(writer.paths.directory), { recursive: true })
    const identity = await mint()
    await writer.write(identity)
    expect(serialOnDisk(writer.paths)).toBe(identity.svid.serialNumber)
  })
})

describe('the options', () => {
  test('set modes and names', async () => {
    await using writer = await SvidFileWriter.open({
      certDir: join(await temporaryDirectory(), 'certs'),
      dirMode: 0o750,
      keyMode: 0o640,
      certMode: 0o444,
      gid: process.getgid!(),
      names: { cert: 'tls.crt', key: 'tls.key', combined: 'tls.pem' },
    })
    await writer.write(await mint())
    const { directory, keyFile, certFile, combinedFile } = writer.paths
    expect(mode(directory)).toBe('750')
    expect(mode(join(directory, readlinkSync(join(directory, 'current'))))).toBe('750')
    expect([keyFile, certFile, combinedFile].map((path) => path.slice(directory.length + 1))).toEqual([
      'tls.key',
      'tls.crt',
      'tls.pem',
    ])
    expect(((await stat(keyFile)).mode & 0o777).toString(8)).toBe('640')
    expect(((await stat(combinedFile)).mode & 0o777).toString(8)).toBe('640')
    expect(((await stat(certFile)).mode & 0o777).toString(8)).toBe('444')
  })

  test.skipIf(process.getuid?.() !== 0)('let a group in, and nobody besides', async () => {
    const [someone, group, otherGroup] = [65_534, 65_533, 65_532]
    const parent = await temporaryDirectory()
    chmodSync(parent, 0o755)
    const access = { gid: group, dirMode: 0o750, keyMode: 0o640 }
    await using writer = await SvidFileWriter.open({ certDir: join(parent, 'certs'), ...access })
    for (let generation = 0; generation < 2; generation++) {
      const identity = await mint()
      await writer.write(identity)
      const readAs = (gid: number) =>
        spawnSync('cat', [writer.paths.keyFile, writer.paths.caFile], { uid: someone, gid, encoding: 'utf8' }).stdout
      expect(readAs(group)).toBe(identity.svid.privateKeyPem() + identity.bundle.toPem())
      expect(readAs(otherGroup)).toBe('')
    }
  })

  test('write DER where that was asked for', async () => {
    await using writer = await SvidFileWriter.open({
      certDir: join(await temporaryDirectory(), 'certs'),
      format: 'der',
    })
    const { svid, bundle } = await mint()
    await writer.write({ svid, bundle })
    const { certFile, keyFile, caFile, combinedFile } = writer.paths
    expect(readFileSync(certFile)).toEqual(Buffer.from(svid.certificatesDer()))
    expect(readFileSync(keyFile)).toEqual(Buffer.from(svid.privateKeyDer()))
    expect(readFileSync(caFile)).toEqual(Buffer.from(bundle.toDer()))
    expect(readFileSync(combinedFile, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----/)
  })

  test('take further files into the generation', async () => {
    await using writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
    const identity = await mint()
    await writer.write({ ...identity, extra: [{ name: 'jwt.token', content: 'token', secret: true }] })
    const path = join(writer.paths.directory, 'jwt.token')
    expect(readlinkSync(path)).toBe('current/jwt.token')
    expect(((await stat(path)).mode & 0o777).toString(8)).toBe('600')
    for (const name of ['svid.key', '../x', 'current'])
      await expect(writer.write({ ...identity, extra: [{ name, content: '', secret: false }] })).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
      })
  })

  for (const [reason, options] of [
    ['the format is unknown', { format: 'p12' as unknown as 'pem' }],
    ['the key would be readable by everyone', { keyMode: 0o644 }],
    ['the key would be writable by its group', { keyMode: 0o660 }],
    ['the directory would be writable by its group', { dirMode: 0o770 }],
    ['the owner could not enter the directory', { dirMode: 0o400 }],
    ['a mode is a string', { keyMode: '0600' as unknown as number }],
    ['a name leads out of the directory', { names: { key: '../svid.key' } }],
    ['a name is the link that is switched', { names: { key: 'current' } }],
    ['two names are equal', { names: { key: 'svid.crt' } }],
    ['certDir is empty', { certDir: '' }],
    ['gid is a name', { gid: 'nginx' as unknown as number }],
  ] satisfies [string, SvidFileWriterOptions][])
    test(`are refused when ${reason}`, async () => {
      await expect(SvidFileWriter.open(options)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    })
})
