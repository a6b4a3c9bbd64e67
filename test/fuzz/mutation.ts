import { mutate } from './mutate.js'
import { isOurs, makeParsers, type Parser } from './parsers.js'
import { Random } from './random.js'

export interface MutationResult {
  cases: number
  seed: number
  /** How many mutated inputs each parser took, and how many it refused. */
  parsers: Record<string, { taken: number; refused: number }>
  /** What was thrown and is not ours, or what was proved and never issued: never. */
  faults: string[]
}

/** Feeds every parser with mutated inputs. Each run ends because the parsers bound their own work. */
export async function runMutation({ cases, seed }: { cases: number; seed: number }): Promise<MutationResult> {
  const random = new Random(seed)
  const parsers = makeParsers()
  const inputs = parsers.flatMap((parser) => parser.inputs)
  const result: MutationResult = { cases, seed, parsers: {}, faults: [] }
  for (let turn = 0; turn < cases; turn++) {
    const parser = parsers[turn % parsers.length] as Parser
    const counts = (result.parsers[parser.name] ??= { taken: 0, refused: 0 })
    const original = random.pick(parser.inputs)
    const input = mutate(random, original, inputs)
    try {
      const complaint = await parser.run(input, original)
      counts.taken++
      if (complaint !== undefined) result.faults.push(`${parser.name}: ${complaint}: ${input.toString('hex')}`)
    } catch (error) {
      counts.refused++
      if (!(parser.isRefusal ?? isOurs)(error))
        result.faults.push(`${parser.name}: ${String(error)}: ${input.toString('hex')}`)
    }
  }
  return result
}
