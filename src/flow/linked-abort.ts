/** A controller of one's own that also aborts, with their reason, when any of several signals does. */
export interface LinkedAbort {
  readonly signal: AbortSignal
  abort: (reason: unknown) => void
  /** Takes the listeners off the other signals. */
  release: () => void
}

/** Unlike `AbortSignal.any`, leaves nothing behind on a long-lived signal once released. */
export function linkAbort(signals: readonly (AbortSignal | undefined)[]): LinkedAbort {
  const controller = new AbortController()
  const links = signals.flatMap((signal) => {
    if (!signal) return []
    const onAbort = () => {
      controller.abort(signal.reason)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    return [() => signal.removeEventListener('abort', onAbort)]
  })
  return {
    signal: controller.signal,
    abort: (reason) => {
      controller.abort(reason)
    },
    release: () => {
      for (const unlink of links) unlink()
    },
  }
}
