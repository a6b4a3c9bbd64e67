import { Session } from 'node:inspector'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Most blocks of code that a parser may run for an input of so many octets: twice what the costliest of ours takes. A
 * quadratic reader runs millions for 2 000 octets.
 */
export function maxBlocks(octets: number): number {
  return 10_000 + 10 * octets
}

/** Most octets that a parser may leave behind it, garbage included, before anything is collected. */
export function maxHeld(octets: number): number {
  return 8 * 1024 * 1024 + 1_000 * octets
}

/** Most octets by which a run may grow what lives on after it: five times what 60 000 cases do, most of it machine code. */
export const maxKept = 4 * 1024 * 1024

/**
 * Counts work instead of time: how often blocks of JavaScript ran (bodies of functions and loops, branches), as V8 counts
 * them for coverage. What runs inside of V8 and OpenSSL, like one regular expression, counts as nothing.
 */
export class BlockCounter {
  readonly #session = new Session()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
    this.take()
  }

  /** Blocks of the library and of these tests that ran since the last time. */
  take(): number {
    let blocks = 0
    // The answer of this session comes before post() returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error) throw error
      for (const { url, functions } of result) {
        if (url.startsWith('node:') || url.includes('/node_modules/')) continue
        for (const { ranges } of functions) for (const { count } of ranges) blocks += count
      }
    })
    return blocks
  }

  close(): void {
    this.#session.post('Profiler.stopPreciseCoverage')
    this.#session.disconnect()
  }
}

/** Octets in use now, inside of V8's heap and behind Buffers, garbage included. */
export function heldBytes(): number {
  const { used_heap_size: inHeap, external_memory: behindBuffers } = getHeapStatistics()
  return inHeap + behindBuffers
}

/** The same without the garbage. */
export function keptBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  // Memory behind Buffers is given back when the next collection begins.
  collect()
  return heldBytes()
}
