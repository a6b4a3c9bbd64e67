import { expectOneOf, InvalidInputError } from '../errors/index.js'
import { expectMs } from '../flow/index.js'
import { expectBackoff, WorkloadApiClient } from '../workload-api/index.js'
import type { BackoffStrategy, WorkloadApiClientOptions } from '../workload-api/index.js'

/** What a source tells a client of its own. Not together with `client`, which has been told already. */
export type ClientOptions = Pick<WorkloadApiClientOptions, (typeof clientOptions)[number]>
const clientOptions = ['endpoint', 'limits', 'dialect', 'metadata', 'labels'] as const

/** What every source can be told. */
export interface SourceOptions extends ClientOptions {
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
  /** A client to use instead of one of the source's own; it is not closed with the source. */
  client?: WorkloadApiClient | undefined
  /** The current time, for tests. */
  now?: (() => Date) | undefined
}

export type SourceSettings = ReturnType<typeof readSourceOptions>

/** Reads the options once and checks them. Throws `InvalidInputError`. */
export function readSourceOptions(options: SourceOptions) {
  const { client, onDenied } = options
  const initialTimeoutMs = expectMs('initialTimeoutMs', options.initialTimeoutMs ?? 30_000)
  expectOneOf('onDenied', onDenied, ['withdraw', 'keep'])
  const given = clientOptions.find((name) => options[name] !== undefined)
  if (client && given !== undefined) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `expected either client or ${given}; a client has its own`)
  }
  const now = options.now ?? (() => new Date())
  return {
    initialTimeoutMs,
    signal: options.signal,
    onDenied,
    backoff: options.backoff === undefined ? undefined : expectBackoff(options.backoff),
    now,
    client: client ?? new WorkloadApiClient({ ...picked(options), now }),
    ownsClient: client === undefined,
  }
}

function picked(options: ClientOptions): ClientOptions {
  const { endpoint, limits, dialect, metadata, labels } = options
  return { endpoint, limits, dialect, metadata, labels }
}
