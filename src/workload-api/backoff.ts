import { InvalidInputError } from '../errors/index.js'
import { callOut, doublingDelay, proportionalDelay } from '../flow/index.js'
import type { Endpoint } from './endpoint.js'

/**
 * Why a stream has to be opened anew.
 * `unreachable`: no connection. `ended`: a stream that stood was ended, or its connection broke.
 * `denied`: the agent has no identity for this workload. `transient`: it answered that it cannot serve now.
 */
export type FailureKind = 'unreachable' | 'ended' | 'denied' | 'transient'

export interface Failure {
  readonly kind: FailureKind
  /** Failures of this kind before this one, since the last valid message. 0 is the first. */
  readonly attempt: number
  /** Time since the first of them, in milliseconds. */
  readonly waitedMs: number
  readonly endpoint: Endpoint['kind']
}

/** How long to wait after a failure, in milliseconds. */
export type BackoffStrategy = (failure: Failure) => number

// Asking a Unix socket that nobody listens on costs microseconds, and a short outage should stay short.
const localRange = { minMs: 50, maxMs: 500 }
const range = { minMs: 100, maxMs: 10_000 }

/**
 * The waits that are used unless told otherwise: half a second at most for a Unix socket that nobody serves, nothing for
 * the first end of a stream, a tenth of the time waited so far while the agent has no identity for us (100 ms to 10 s),
 * and 100 ms doubling to 10 s for the rest, with jitter.
 */
export function defaultBackoff({ kind, attempt, waitedMs, endpoint }: Failure): number {
  switch (kind) {
    case 'unreachable':
      return doublingDelay(attempt, endpoint === 'unix' ? localRange : range)
    case 'denied':
      return proportionalDelay(waitedMs, range)
    case 'ended':
      // Workload API §4.2: a stream that the server ends is opened again at once.
      return attempt === 0 ? 0 : doublingDelay(attempt - 1, range)
    case 'transient':
      return doublingDelay(attempt, range)
  }
}

/** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT`. */
export function expectBackoff(backoff: unknown): BackoffStrategy {
  if (typeof backoff === 'function') return backoff as BackoffStrategy
  throw new InvalidInputError('ERR_INVALID_ARGUMENT', `expected backoff to be a function, found ${typeof backoff}`)
}

/**
 * The delay that a strategy says; the default one where it throws or says what no delay is, for that must not become a
 * stream that is opened again without a pause.
 */
export function delayAfter(failure: Failure, backoff: BackoffStrategy): { delayMs: number; warning?: string } {
  let said: unknown
  callOut(() => {
    said = backoff(failure)
  })
  if (typeof said === 'number' && said >= 0) return { delayMs: said }
  const found = typeof said === 'number' ? said : typeof said
  const warning = `backoff returned ${found}, expected a number of milliseconds from 0; the default is used`
  return { delayMs: defaultBackoff(failure), warning }
}
