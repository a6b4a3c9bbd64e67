import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { buildProgram } from '../tls/program.js'

/** If each of 40 clients left 100 certificates behind, it would be twice that. */
const allowedBytes = 16 * 1024 * 1024

test('clients that send many certificates are refused, and nothing of them is kept', async () => {
  const program = await buildProgram(join(import.meta.dirname, 'programs/long-chains.ts'))
  const { stdout } = await promisify(execFile)(process.execPath, [program])
  const { leftBehind, refused } = JSON.parse(stdout) as { leftBehind: number; refused: unknown }
  expect(refused).toEqual({ ERR_X509_CHAIN_UNTRUSTED: 80 })
  expect(leftBehind).toBeLessThan(allowedBytes)
}, 60_000)
