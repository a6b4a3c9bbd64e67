import { describe, expect, test } from 'vitest'
import { runMutation } from './mutation.js'
import type { Parser } from './parsers.js'

test('mutated inputs raise only our errors, prove nothing that was never issued, and cost what they are long', async () => {
  const result = await runMutation({ cases: 8000, seed: 20_260_301 })
  expect(result.faults).toEqual([])
  for (const [parser, { taken, refused }] of Object.entries(result.parsers)) {
    expect(taken + refused, parser).toBeGreaterThan(100)
    expect(refused, parser).toBeGreaterThan(10)
  }
  // Where only calls were counted, and not what loops do, this would be half as much.
  expect(result.effort.blocks / result.effort.octets).toBeGreaterThan(0.5)
}, 60_000)

describe('the run itself finds', () => {
  const inputs = [Buffer.alloc(700, 'spiffe')]
  const innocent = Array.from({ length: 15 }, (): Parser => ({ name: 'innocent', inputs, run: () => undefined }))
  const among = (run: Parser['run']) => () => [...innocent, { name: 'planted', inputs, run }]
  const kept: Buffer[] = []
  const planted: readonly [what: string, found: RegExp, run: Parser['run']][] = [
    [
      'a parser that throws what is not ours',
      /TypeError: planted/,
      () => {
        throw new TypeError('planted')
      },
    ],
    ['one that takes what it must not take', /planted: forged/, () => 'forged'],
    [
      'one that looks at every octet once for every other',
      /planted: \d{5,} blocks/,
      (input) => {
        let same = 0
        for (const one of input) for (const other of input) if (one === other) same++
        return same < 0 ? 'never' : undefined
      },
    ],
    [
      'one that believes a length',
      /planted: \d{8,} octets of memory/,
      (input) => (Buffer.alloc((input[0] ?? 0) << 20).length < 0 ? 'never' : undefined),
    ],
    [
      'one that forgets nothing',
      /^\d{7,} octets live on/,
      () => {
        kept.push(Buffer.alloc(200_000))
        return undefined
      },
    ],
  ]
  for (const [what, found, run] of planted)
    test(
      what,
      async () => {
        const { faults } = await runMutation({ cases: 480, seed: 1 }, among(run))
        kept.splice(0)
        expect(faults.length).toBeGreaterThan(0)
        expect(faults.filter((fault) => !found.test(fault)).map((fault) => fault.slice(0, 200))).toEqual([])
      },
      60_000,
    )

  test('nothing in a parser that goes through its input five times', async () => {
    const run: Parser['run'] = (input) => {
      let sum = 0
      for (let time = 0; time < 5; time++) for (const octet of input) sum += octet
      return sum < 0 ? 'never' : undefined
    }
    const { faults, effort } = await runMutation({ cases: 480, seed: 1 }, among(run))
    expect(faults).toEqual([])
    // Of 16 parsers only this one looks at its input.
    expect(effort.blocks).toBeGreaterThan((4 * effort.octets) / 16)
  })
})
