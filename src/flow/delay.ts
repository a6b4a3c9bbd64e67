export interface DelayRange {
  /** Shortest delay, in milliseconds. */
  minMs: number
  /** Longest delay, in milliseconds. */
  maxMs: number
}

/** Spreads a delay over its upper half, so that many who failed together do not return together. */
function jitter(ms: number, random: () => number): number {
  return ms * (0.5 + random() / 2)
}

/**
 * The delay after failure number `attempt` (0 is the first): doubling from the shortest to the longest, with jitter.
 * @param random - A number from 0 up to 1, `Math.random` unless a test says otherwise.
 */
export function doublingDelay(
  attempt: number,
  { minMs, maxMs }: DelayRange,
  random: () => number = Math.random,
): number {
  const ms = Math.min(maxMs, minMs * 2 ** Math.min(attempt, 30))
  return Math.max(minMs, jitter(ms, random))
}

/** A delay of at most a tenth of what was already waited: who has waited long can wait a little longer. */
export function proportionalDelay(
  waitedMs: number,
  { minMs, maxMs }: DelayRange,
  random: () => number = Math.random,
): number {
  return Math.max(minMs, jitter(Math.min(maxMs, waitedMs / 10), random))
}
