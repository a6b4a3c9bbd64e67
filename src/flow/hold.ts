import { longestTimerMs } from './duration.js'

/**
 * Keeps the event loop alive until the returned function is called. Sockets and timers of this library do not; whoever
 * awaits something on behalf of a caller holds the process for that time, so that it can neither end silently nor hang.
 */
export function holdProcess(): () => void {
  const timer = setInterval(() => undefined, longestTimerMs)
  return () => {
    clearInterval(timer)
  }
}

/** Keeps the event loop alive until the promise settles. */
export async function holding<T>(promise: Promise<T>): Promise<T> {
  const release = holdProcess()
  try {
    return await promise
  } finally {
    release()
  }
}
