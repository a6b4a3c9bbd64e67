import { BlockCounter, heldBytes, keptBytes, maxBlocks, maxHeld, maxKept } from './effort.js'
import { mutate } from './mutate.js'
import { isOurs, makeParsers, type Parser } from './parsers.js'
import { Random } from './random.js'

export interface MutationResult {
  cases: number
  seed: number
  /** How many mutated inputs each parser took, and how many it refused. */
  parsers: Record<string, { taken: number; refused: number }>
  /** What it cost: octets of all inputs, blocks of code that ran for them, octets that live on after them. */
  effort: { octets: number; blocks: number; keptBytes: number }
  /** What was thrown and is not ours, what was proved and never issued, what cost more than its length allows: never. */
  faults: string[]
}

interface Case {
  parser: Parser
  original: Uint8Array
  input: Buffer
}

/**
 * Counting takes a millisecond however much there is to count, so cases are counted together, and with them the little
 * that their mutation costs.
 */
const casesPerCount = 16

/**
 * Feeds every parser with mutated inputs, and holds each to work and memory that are linear in its input. A parser that
 * never returns stops the run.
 */
export async function runMutation(
  { cases, seed }: { cases: number; seed: number },
  make: () => readonly Parser[] = makeParsers,
): Promise<MutationResult> {
  const random = new Random(seed)
  // First, for of what was compiled before only the calls are counted.
  const counter = new BlockCounter()
  const parsers = make()
  const inputs = parsers.flatMap((parser) => parser.inputs)
  const effort = { octets: 0, blocks: 0, keptBytes: 0 }
  const result: MutationResult = { cases, seed, parsers: {}, effort, faults: [] }
  const next = (turn: number): Case => {
    const parser = parsers[turn % parsers.length] as Parser
    const original = random.pick(parser.inputs)
    return { parser, original, input: mutate(random, original, inputs) }
  }
  try {
    let keptAtFirst = 0
    for (let turn = 0; turn < cases; turn += casesPerCount) {
      const some = Array.from({ length: Math.min(casesPerCount, cases - turn) }, (_, index) => next(turn + index))
      for (const one of some) await runCase(one, result)
      const blocks = counter.take()
      const octets = some.map(({ input }) => input.length)
      effort.blocks += blocks
      effort.octets += octets.reduce((sum, length) => sum + length, 0)
      // What the first tenth leaves behind is what is only ever made once.
      if (keptAtFirst === 0 && turn + casesPerCount >= cases / 10) keptAtFirst = keptBytes()
      if (blocks > octets.reduce((sum, length) => sum + maxBlocks(length), 0)) {
        result.faults.push(...(await findCostly(some, counter)))
      }
    }
    effort.keptBytes = keptBytes() - keptAtFirst
    if (effort.keptBytes > maxKept) result.faults.push(`${effort.keptBytes} octets live on after ${cases} cases`)
  } finally {
    counter.close()
  }
  return result
}

async function runCase({ parser, original, input }: Case, { parsers, faults }: MutationResult): Promise<void> {
  const counts = (parsers[parser.name] ??= { taken: 0, refused: 0 })
  const fault = (what: string) => faults.push(`${parser.name}: ${what}: ${input.toString('hex')}`)
  const before = heldBytes()
  try {
    const complaint = await parser.run(input, original)
    counts.taken++
    if (complaint !== undefined) fault(complaint)
  } catch (error) {
    counts.refused++
    if (!(parser.isRefusal ?? isOurs)(error)) fault(String(error))
  }
  const held = heldBytes() - before
  if (held > maxHeld(input.length)) fault(`${held} octets of memory`)
}

/** Those of cases that cost too much together which do so alone. */
async function findCostly(cases: readonly Case[], counter: BlockCounter): Promise<string[]> {
  const costly: string[] = []
  for (const { parser, original, input } of cases) {
    counter.take()
    await Promise.resolve()
      .then(() => parser.run(input, original))
      .catch(() => undefined)
    const blocks = counter.take()
    if (blocks > maxBlocks(input.length)) costly.push(`${parser.name}: ${blocks} blocks: ${input.toString('hex')}`)
  }
  return costly.length > 0 ? costly : [`together too costly: ${cases.map(({ parser }) => parser.name).join()}`]
}
