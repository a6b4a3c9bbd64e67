import { runDifferential } from './differential.js'
import { runMutation } from './mutation.js'

export interface FuzzRequest {
  which: 'differential' | 'mutation' | 'all'
  cases: number
  seed: number
}

/** What `scripts/fuzz.mjs` runs. `found` is the number of findings; none is what we want. */
export async function runFuzz({ which, cases, seed }: FuzzRequest): Promise<{ found: number }> {
  const startedAt = performance.now()
  const mutation = which === 'differential' ? undefined : runMutation({ cases, seed })
  const differential = which === 'mutation' ? undefined : await runDifferential({ cases, seed })
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  const found =
    (mutation?.faults.length ?? 0) + (differential?.laxer.length ?? 0) + (differential?.unexplained.length ?? 0)
  return { found, ...{ node: process.version, seconds, mutation, differential } }
}
