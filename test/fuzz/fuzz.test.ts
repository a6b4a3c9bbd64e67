import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runDifferential } from './differential.js'
import { opensslNeeded, opensslVersion } from './openssl-version.js'

const version = opensslVersion()
if (version === undefined) console.warn(`skipped: the comparison, which needs ${opensslNeeded}`)

test('nothing that OpenSSL refuses is accepted, and every other difference is a rule of ours', async ({ skip }) => {
  // A machine without the command cannot compare; CI has it.
  skip(version === undefined, `needs ${opensslNeeded}`)
  const result = await runDifferential({ cases: 200, seed: 20_260_301 })
  expect([result.laxer, result.unexplained]).toEqual([[], []])
  // A run in which nothing is accepted, or nothing refused, would compare nothing.
  expect(result.accepted).toBeGreaterThan(20)
  expect(result.bothRefuse).toBeGreaterThan(20)
  const reasons = Object.values(result.refusals).map((counts) => Object.values(counts).reduce((a, b) => a + b))
  expect(reasons).toEqual([result.bothRefuse, result.bothRefuse])
  expect(Object.keys(result.refusals.openssl)).not.toContain('nothing')
}, 60_000)

// Found among 500 000 cases: two signers of one name, one of them exempt from constraints as self-issued (RFC 5280
// §6.1.3); and a link with SHA-1 beside another fault, which is the one that the refusal tells.
for (const seed of [23_159_475, 28_013_822, 48_151_839, 153_704_190, 65_739_938]) {
  test(`world ${seed} is no difference either`, async ({ skip }) => {
    skip(version === undefined, `needs ${opensslNeeded}`)
    const { laxer, unexplained } = await runDifferential({ cases: 25, seed })
    expect([laxer, unexplained]).toEqual([[], []])
  }, 60_000)
}

test('without the openssl command the fuzzer says what it needs', () => {
  const script = join(import.meta.dirname, '../../scripts/fuzz.mjs')
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [script, ...args], { env: { ...process.env, PATH: '/nowhere' }, encoding: 'utf8' })
  const compared = run('--cases', '25')
  expect([compared.status, compared.stdout]).toEqual([2, ''])
  expect(compared.stderr).toContain('needs the command `openssl`')
  const mutated = run('mutation', '--cases', '25')
  expect([mutated.status, mutated.stderr]).toEqual([0, ''])
  expect(JSON.parse(mutated.stdout)).toMatchObject({
    command: 'npm run fuzz -- mutation --cases 25 --seed 1',
    passed: true,
    mutation: { cases: 25, seed: 1 },
  })
}, 60_000)
