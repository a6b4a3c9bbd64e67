import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { onTestFinished } from 'vitest'

/** Makes a program of a test, with the sources that it imports, fit for plain node. Returns its path. */
export async function buildProgram(source: string): Promise<string> {
  // Inside node_modules, so that the packages are found.
  const cache = join(import.meta.dirname, '../../node_modules/.cache')
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, 'authsec-program-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const outfile = join(directory, 'program.mjs')
  await build({
    entryPoints: [source],
    outfile,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  })
  return outfile
}
