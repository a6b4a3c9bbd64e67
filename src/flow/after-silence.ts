import { clearQuietTimer } from './clear-quiet-timer.js'
import { longestTimerMs } from './duration.js'

/**
 * Calls back after `ms` milliseconds in which nothing cancelled it. What arrived while this process was busy is read
 * first, so that an event loop that stood still is not taken for silence of the other side. Does not hold the process.
 * @returns Cancels it.
 */
export function afterSilence(ms: number, run: () => void): () => void {
  let last: NodeJS.Immediate | undefined
  // Timers come before input and output in a turn of the event loop, immediates after it.
  const timer = setTimeout(() => (last = setImmediate(run)), Math.min(ms, longestTimerMs)).unref()
  return () => {
    clearQuietTimer(timer)
    clearImmediate(last)
  }
}
