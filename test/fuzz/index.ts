import { runDifferential } from './differential.js'
import { runMutation } from './mutation.js'

export { opensslNeeded, opensslVersion } from './openssl-version.js'

export interface FuzzRequest {
  which: 'differential' | 'mutation' | 'all'
  cases: number
  seed: number
  /** Told now and then, how many cases of the comparison are done. */
  onProgress?: (done: number) => void
}

/** What `scripts/fuzz.mjs` runs. `found` is the number of findings; none is what we want. */
export async function runFuzz({ which, cases, seed, onProgress }: FuzzRequest): Promise<{ found: number }> {
  const startedAt = performance.now()
  const mutation = which === 'differential' ? undefined : await runMutation({ cases, seed })
  const differential = which === 'mutation' ? undefined : await runDifferential({ cases, seed }, onProgress)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  const found =
    (mutation?.faults.length ?? 0) + (differential?.laxer.length ?? 0) + (differential?.unexplained.length ?? 0)
  return { found, ...{ seconds, mutation, differential } }
}
