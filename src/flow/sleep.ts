import { longestTimerMs } from './duration.js'

/**
 * Resolves after `ms` milliseconds, or rejects with the signal's own reason as soon as it aborts.
 * The timer does not keep the process alive: who awaits something for a caller holds the process itself.
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const onAbort = () => {
      clearTimeout(timer)
      // The reason belongs to whoever aborted and is passed on unchanged.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      reject(signal?.reason)
    }
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      },
      Math.min(ms, longestTimerMs),
    )
    timer.unref()
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
