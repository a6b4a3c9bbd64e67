import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { SvidFileWriter } from '../../src/files/index.js'
import { createMint } from './identities.js'

const generations = 2_000

interface Seen {
  reads: number
  generations: number
  mismatches: number
  retries: number
}

/** Every generation is synced; where the disk is memory, that takes no time. */
function fastDirectory(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return tmpdir()
  }
}

/** Another process that reads all the time; `end` resolves with what it saw. */
async function startReader(how: 'current' | 'combined', directory: string): Promise<{ end: () => Promise<Seen> }> {
  const program = join(import.meta.dirname, 'programs', 'read-generations.mjs')
  const child = spawn(process.execPath, [program, how, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  await once(child.stdout, 'data')
  const output = text(child.stdout)
  return {
    end: async () => {
      child.stdin.end()
      expect((await exit)[0]).toBe(0)
      return JSON.parse(await output) as Seen
    },
  }
}

test(
  `over ${generations} generations, readers that resolve \`current\` once or read svid.pem never see halves of two`,
  { timeout: 120_000 },
  async () => {
    const parent = await mkdtemp(join(fastDirectory(), 'authsec-test-'))
    try {
      // Neighbouring generations come from different authorities, so a wrong ca.crt shows as well.
      const mint = await createMint(2)
      const identities = await Promise.all(Array.from({ length: 40 }, () => mint()))
      await using writer = await SvidFileWriter.open({ certDir: join(parent, 'certs') })
      await writer.write(await mint())
      const { directory } = writer.paths
      const readers = [await startReader('current', directory), await startReader('combined', directory)]
      for (let i = 0; i < generations; i++) await writer.write(identities[i % identities.length]!)
      for (const { end } of readers) {
        const seen = await end()
        expect(seen.mismatches).toBe(0)
        // Otherwise the reader proved nothing.
        expect(seen.reads).toBeGreaterThan(generations / 10)
        expect(seen.generations).toBeGreaterThan(20)
      }
    } finally {
      await rm(parent, { recursive: true, force: true })
    }
  },
)
