import { WorkloadApiError } from '../errors/index.js'
import { expectMs, holding, linkAbort, longestTimerMs } from '../flow/index.js'
import type { Endpoint } from './endpoint.js'

export interface CallOptions {
  /** Ends the call with the signal's own reason. */
  signal?: AbortSignal | undefined
  /** Longest time for the call, in milliseconds; `Infinity` waits for ever. Default 30 000. */
  timeoutMs?: number | undefined
  /** `false` for a call that nobody waits for: it does not keep the process alive. Default `true`. */
  holdProcess?: boolean | undefined
}

export const defaultTimeoutMs = 30_000

/**
 * Runs one call: holds the process unless told not to, and ends with the call, its deadline or the caller's signal.
 * @throws WorkloadApiError with code `ERR_TIMEOUT` at the deadline; InvalidInputError for `timeoutMs`.
 */
export async function withDeadline<T>(
  endpoint: Endpoint,
  options: CallOptions,
  closing: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, holdProcess = true } = options
  const timeoutMs = expectMs('timeoutMs', options.timeoutMs ?? defaultTimeoutMs)
  const link = linkAbort([signal, closing])
  const timer =
    timeoutMs > longestTimerMs
      ? undefined
      : setTimeout(() => {
          link.abort(
            new WorkloadApiError(
              'ERR_TIMEOUT',
              `the agent at ${endpoint.text} did not answer within ${timeoutMs} ms; check that it is healthy, and its log`,
              { endpoint: endpoint.text },
            ),
          )
        }, timeoutMs)
  if (!holdProcess) timer?.unref()
  try {
    link.signal.throwIfAborted()
    const result = run(link.signal)
    return await (holdProcess ? holding(result) : result)
  } finally {
    clearTimeout(timer)
    link.release()
  }
}
