import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { buildForNode } from './build-for-node.js'
import type { BuiltEntries } from './build-for-node.js'

export interface Ended {
  /** `null` when it had to be killed. */
  code: number | null
  stdout: string
  stderr: string
  /** From its first output to its end. */
  lingeredMs: number
  ranMs: number
}

/** Runs one of `programs/` with plain node on the built package until it ends by itself, or kills it after `patienceMs`. */
export async function runProgram(
  name: string,
  args: string[],
  { entry = 'index', patienceMs = 10_000 }: { entry?: keyof BuiltEntries; patienceMs?: number } = {},
): Promise<Ended> {
  const entries = await buildForNode()
  const started = performance.now()
  const child = spawn(process.execPath, [join(import.meta.dirname, 'programs', name), entries[entry], ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: patienceMs,
    killSignal: 'SIGKILL',
  })
  let firstOutput = performance.now()
  child.stdout.once('data', () => (firstOutput = performance.now()))
  const outputs = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = (await once(child, 'exit')) as [number | null]
  const ended = performance.now()
  const [stdout, stderr] = await outputs
  return { code, stdout, stderr, lingeredMs: ended - firstOutput, ranMs: ended - started }
}
