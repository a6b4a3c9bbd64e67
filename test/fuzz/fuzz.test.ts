import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { runDifferential } from './differential.js'
import { runMutation } from './mutation.js'

// A machine without the command cannot compare; CI has it.
const hasOpenssl = spawnSync('openssl', ['version']).status === 0

test.skipIf(!hasOpenssl)(
  'nothing that OpenSSL refuses is accepted, and every other difference is a rule of ours',
  async () => {
    const result = await runDifferential({ cases: 200, seed: 20_260_301 })
    expect([result.laxer, result.unexplained]).toEqual([[], []])
    // A run in which nothing is accepted, or nothing refused, would compare nothing.
    expect(result.accepted).toBeGreaterThan(20)
    expect(result.bothRefuse).toBeGreaterThan(20)
  },
  60_000,
)

test('mutated inputs raise only our errors, and prove nothing that was never issued', () => {
  const result = runMutation({ cases: 6000, seed: 20_260_301 })
  expect(result.faults).toEqual([])
  for (const [parser, { taken, refused }] of Object.entries(result.parsers)) {
    expect(taken + refused, parser).toBeGreaterThan(100)
    if (parser !== 'JSON') expect(refused, parser).toBeGreaterThan(10)
  }
})
