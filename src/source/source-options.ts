import { InvalidInputError } from '../errors/index.js'
import { expectMs } from '../flow/index.js'
import { expectBackoff, WorkloadApiClient } from '../workload-api/index.js'
import type { BackoffStrategy, WorkloadApiLimits } from '../workload-api/index.js'

/** What every source can be told. */
export interface SourceOptions {
  /** Agent address: `unix:///run/agent.sock` or `tcp://127.0.0.1:8081`. Default `$SPIFFE_ENDPOINT_SOCKET`. */
  endpoint?: string | undefined
  /** Longest wait for the first update, in milliseconds; `Infinity` waits for ever. Default 30 000. */
  initialTimeoutMs?: number | undefined
  /** Ends that wait. It does not close a source that is already open. */
  signal?: AbortSignal | undefined
  /**
   * What a denial in mid-life does: `withdraw` takes away what the agent had given, `keep` goes on using it.
   * Default `withdraw` for a standard agent; `keep` for an ICP agent, which answers every fault that way.
   */
  onDenied?: 'withdraw' | 'keep' | undefined
  /** How long to wait before a stream is opened again. Default `defaultBackoff`. */
  backoff?: BackoffStrategy | undefined
  /** What is accepted of the agent. Not together with `client`, which has its own. */
  limits?: WorkloadApiLimits | undefined
  /** A client to use instead of one of the source's own; it is not closed with the source. */
  client?: WorkloadApiClient | undefined
  /** The current time, for tests. */
  now?: (() => Date) | undefined
}

export type SourceSettings = ReturnType<typeof readSourceOptions>

/** Reads the options once and checks them. Throws `InvalidInputError`. */
export function readSourceOptions(options: SourceOptions) {
  const { client, endpoint, limits } = options
  const initialTimeoutMs = expectMs('initialTimeoutMs', options.initialTimeoutMs ?? 30_000)
  if (client && (endpoint !== undefined || limits !== undefined)) {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      'expected either client, or endpoint and limits; a client has its own',
    )
  }
  const now = options.now ?? (() => new Date())
  return {
    initialTimeoutMs,
    signal: options.signal,
    onDenied: options.onDenied,
    backoff: options.backoff === undefined ? undefined : expectBackoff(options.backoff),
    now,
    client: client ?? new WorkloadApiClient({ endpoint, limits, now }),
    ownsClient: client === undefined,
  }
}
