import { holding, longestTimerMs } from '../flow/index.js'
import type { X509Source } from '../source/index.js'

export interface UntilReadyOptions {
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/**
 * Waits for the first update of a source that was started without waiting; at once where there was one.
 * @throws what the source says of its SVID when the time is over; the signal's own reason.
 */
export async function untilReady(source: X509Source, { timeoutMs, signal }: UntilReadyOptions): Promise<void> {
  const { updates } = source.status().messages
  if (updates > 0) return
  const late = AbortSignal.timeout(Math.min(timeoutMs, longestTimerMs))
  const reader = source.updates({ signal: signal ? AbortSignal.any([signal, late]) : late })
  try {
    await holding(reader.next())
  } catch (error) {
    if (!late.aborted || signal?.aborted) throw error
    source.getX509Svid()
  }
}
