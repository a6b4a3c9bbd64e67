import { spawn } from 'node:child_process'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SvidFileWriter } from '../../src/files/index.js'
import { buildForNode } from '../e2e/build-for-node.js'
import { createMint } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

test('a writer that is killed leaves whole files, and the next one clears up after it', async () => {
  const directory = join(await temporaryDirectory(), 'certs')
  const mint = await createMint(2)
  const identities = await Promise.all(Array.from({ length: 6 }, () => mint()))
  const input = JSON.stringify(
    identities.map(({ svid, bundle }) => ({
      chain: svid.certificatesPem(),
      key: svid.privateKeyPem(),
      ca: bundle.toPem(),
    })),
  )
  const { files } = await buildForNode()
  const program = join(import.meta.dirname, 'programs', 'write-until-killed.mjs')
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, [program, files, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
    const exit = once(child, 'exit')
    child.stdin.end(input)
    await once(child.stdout, 'data')
    // At another point of a write in each round.
    await delay(round * 3)
    child.kill('SIGKILL')
    await exit
    const read = (name: string) => readFileSync(join(directory, name))
    for (const [cert, key] of [
      ['svid.crt', 'svid.key'],
      ['svid.pem', 'svid.pem'],
    ] as const)
      expect(new X509Certificate(read(cert)).checkPrivateKey(createPrivateKey(read(key)))).toBe(true)
    expect(new X509Certificate(read('svid.crt')).verify(new X509Certificate(read('ca.crt')).publicKey)).toBe(true)
  }

  const writer = await SvidFileWriter.open({ certDir: directory })
  for (let i = 0; i < 2; i++) await writer.write(identities[i]!)
  expect(readdirSync(directory).filter((name) => name.startsWith('.svid-'))).toHaveLength(2)
  await writer.close()
  expect(readdirSync(directory)).toEqual([])
})

test('a process that was killed leaves its temporary directory to the next one, which removes it', async () => {
  const mint = await createMint()
  const { svid, bundle } = await mint()
  const input = JSON.stringify([{ chain: svid.certificatesPem(), key: svid.privateKeyPem(), ca: bundle.toPem() }])
  const { files } = await buildForNode()
  const program = join(import.meta.dirname, 'programs', 'write-until-killed.mjs')
  const TMPDIR = await temporaryDirectory()
  const startWriter = async () => {
    const child = spawn(process.execPath, [program, files], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR },
    })
    child.stdin.end(input)
    await once(child.stdout, 'data')
    return child
  }
  const kill = async (child: Awaited<ReturnType<typeof startWriter>>) => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  const [killed, alive] = [await startWriter(), await startWriter()]
  await kill(killed)
  // What cannot be judged: another scope, and what only looks alike.
  const [own] = readdirSync(TMPDIR)
  const others = [own!.replace(/spiffe-svid-[0-9a-f]{8}/, 'spiffe-svid-00000000'), 'spiffe-svid-backup']
  for (const name of others) mkdirSync(join(TMPDIR, name))
  expect(readdirSync(TMPDIR)).toHaveLength(4)

  const next = await startWriter()
  const pids = () =>
    readdirSync(TMPDIR)
      .filter((name) => !others.includes(name))
      .map((name) => Number(name.split('-')[3]))
      .sort()
  await expect.poll(pids).toEqual([alive.pid, next.pid].sort())
  for (const name of others) expect(readdirSync(TMPDIR)).toContain(name)
  await kill(alive)
  await kill(next)
})
