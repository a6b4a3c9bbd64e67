import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { build } from 'esbuild'
import { beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
let entry: string

beforeAll(async () => {
  // Inside node_modules, so that plain node finds the packages.
  const cache = join(root, 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const outdir = mkdtempSync(join(cache, 'dev-agent-'))
  entry = join(outdir, 'dev-agent.mjs')
  await build({
    entryPoints: [join(root, 'src/dev/agent/index.ts')],
    outfile: entry,
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  })
  return () => rmSync(outdir, { recursive: true, force: true })
})

async function run(...args: string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'programs/hold.mjs'), entry, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 15_000,
    killSignal: 'SIGKILL',
  })
  const output = text(child.stdout)
  const [code] = (await once(child, 'exit')) as [number | null]
  const [endpoint = '', ...rest] = (await output).trim().split('\n')
  return { code, directory: dirname(endpoint.replace('unix://', '')), rest }
}

test('a started agent keeps the process alive until close()', async () => {
  expect(await run()).toMatchObject({ code: 0, rest: ['held'] })
})

test('with unref it does not, and its directory goes with the process', async () => {
  const { code, directory, rest } = await run('unref')
  expect({ code, rest }).toEqual({ code: 0, rest: [] })
  expect(directory).toContain('authsec-dev-')
  expect(existsSync(directory)).toBe(false)
})
