import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build } from 'esbuild'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'

let directory: string
let flow: string

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'flow-'))
  flow = join(directory, 'flow.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, '../../src/flow/index.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: flow,
    logLevel: 'error',
  })
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** Runs a script against the folder; code 13 is Node's "unsettled top-level await". */
function run(script: string) {
  const source = `import { Latest, sleep, holding } from ${JSON.stringify(flow)}\n${script}`
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
    timeout: 10_000,
  })
  return { status, stdout }
}

test('a process waits for an iteration in progress', () => {
  const { status, stdout } = run(`
    const latest = new Latest()
    setTimeout(() => latest.set('came'), 200).unref()
    console.log((await latest.iterate().next()).value)
  `)
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'came\n' })
})

test('a process does not wait for an iteration that nobody reads from', () => {
  const { status, stdout } = run(`
    const latest = new Latest()
    latest.set(1)
    const reader = latest.iterate()
    await reader.next()
    console.log('end')
  `)
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'end\n' })
})

test('a sleep alone does not hold the process, a held sleep does', () => {
  expect(run('await sleep(200)').status).toBe(13)
  expect(run('await holding(sleep(200))').status).toBe(0)
})
