import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll } from 'vitest'

const root = join(import.meta.dirname, '../..')

/** Paths of the entries that child processes import. */
export interface BuiltEntries {
  index: string
  files: string
}

const made: string[] = []

afterAll(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
})

let built: Promise<BuiltEntries> | undefined

/**
 * Builds the entries as the package does, from the sources of this moment, so that plain node can import them. They lie
 * inside node_modules, where they find the run-time dependencies, and go away with the test file.
 */
export function buildForNode(): Promise<BuiltEntries> {
  built ??= buildEntries()
  return built
}

async function buildEntries(): Promise<BuiltEntries> {
  const cache = join(root, 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const outdir = mkdtempSync(join(cache, 'authsec-e2e-'))
  made.push(outdir)
  await build({
    entryPoints: { index: join(root, 'src/index.ts'), files: join(root, 'src/files/index.ts') },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  })
  return { index: join(outdir, 'index.mjs'), files: join(outdir, 'files.mjs') }
}
