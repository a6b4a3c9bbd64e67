import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import type { SpiffeError } from '../../src/errors/index.js'
import { SvidFileWriter } from '../../src/files/index.js'
import type { AfterWrite, SvidFilePaths } from '../../src/files/index.js'
import { createMint } from './identities.js'
import type { Identity } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

let mint: () => Promise<Identity>

beforeAll(async () => {
  mint = await createMint()
})

/** Writes once with these hooks; the files are still there when `look` is called. */
async function writeWith(
  afterWrite: AfterWrite,
  look: (paths: SvidFilePaths) => void = () => undefined,
): Promise<void> {
  const writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs'), afterWrite })
  await writer.write(await mint())
  look(writer.paths)
  await writer.close()
}

test('a callback runs when the new files are in place, and close waits for it', async () => {
  const seen: string[] = []
  const writer = await SvidFileWriter.open({
    certDir: join(await temporaryDirectory(), 'certs'),
    afterWrite: {
      call: async () => {
        await new Promise((resolve) => setImmediate(resolve))
        seen.push(readFileSync(writer.paths.certFile, 'utf8'))
      },
    },
  })
  const identity = await mint()
  await writer.write(identity)
  await writer.close()
  expect(seen).toEqual([identity.svid.certificatesPem()])
})

test('a signal reaches the process whose id stands in the file', async () => {
  const pidFile = join(await temporaryDirectory(), 'reader.pid')
  const script = `process.on('SIGUSR2', () => { console.log('told'); process.exit(0) }); setInterval(() => {}, 1000); console.log('ready')`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  writeFileSync(pidFile, `${child.pid}\n`)
  const told = once(child, 'exit')
  await writeWith({ signal: { pidFile, signal: 'SIGUSR2' } })
  expect((await told)[0]).toBe(0)
})

test('a command is started with its arguments as they are', async () => {
  const mark = join(await temporaryDirectory(), 'a b;c')
  await writeWith({ command: [process.execPath, '-e', `require('fs').writeFileSync(process.argv[1], 'ran')`, mark] })
  expect(readFileSync(mark, 'utf8')).toBe('ran')
})

for (const [reason, after] of [
  ['a callback throws', { call: () => Promise.reject(new Error('no')) }],
  ['there is no pid file', { signal: { pidFile: '/nonexistent/pid' } }],
  ['the command does not exist', { command: ['/nonexistent/command'] }],
  ['the command fails', { command: [process.execPath, '-e', 'process.exit(3)'] }],
  ['the command hangs', { command: [process.execPath, '-e', 'setInterval(() => {}, 1000)'], commandTimeoutMs: 50 }],
] satisfies [string, AfterWrite][])
  test(`the write succeeds and the failure is told when ${reason}`, async () => {
    const failures: SpiffeError[] = []
    let written = false
    await writeWith({ ...after, onFailed: (error) => failures.push(error) }, ({ certFile }) => {
      written = existsSync(certFile)
    })
    expect(written).toBe(true)
    expect(failures).toMatchObject([{ code: 'ERR_FILE_HOOK_FAILED' }])
  })

for (const content of ['0', '-1', '12 13', '', 'nginx'])
  test(`no signal is sent when the pid file holds ${JSON.stringify(content)}`, async () => {
    const pidFile = join(await temporaryDirectory(), 'pid')
    writeFileSync(pidFile, content)
    const failures: SpiffeError[] = []
    await writeWith({ signal: { pidFile }, onFailed: (error) => failures.push(error) })
    expect(failures).toMatchObject([{ code: 'ERR_FILE_HOOK_FAILED' }])
  })

for (const [reason, after] of [
  ['the command is a line for a shell', { command: 'nginx -s reload' }],
  ['the command is empty', { command: [] }],
  ['the callback is none', { call: true }],
  ['the signal has no pid file', { signal: { signal: 'SIGHUP' } }],
] as const)
  test(`open refuses hooks when ${reason}`, async () => {
    await expect(SvidFileWriter.open({ afterWrite: after as unknown as AfterWrite })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  })
