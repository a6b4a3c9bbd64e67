import { channel } from 'node:diagnostics_channel'
import type { ClosedError, SpiffeError, WorkloadApiError } from '../errors/index.js'
import type { FailureKind } from '../workload-api/index.js'

/**
 * `connecting`: nothing has come yet. `ready`: something to use, and a stream that stands. `reconnecting`: something to
 * use, and no stream now. `withdrawn`: the agent took it away; the source keeps asking. `stopped`: the agent refuses for
 * good, or the client that was lent is closed.
 */
export type SourceState = 'connecting' | 'ready' | 'reconnecting' | 'withdrawn' | 'stopped' | 'closed'

export interface RetryNotice {
  readonly error: WorkloadApiError
  readonly kind: FailureKind
  /** Failures of this kind since the last valid message, this one included. */
  readonly attempt: number
  readonly delayMs: number
}

/** What a source of `T` emits. There is no event named `error`, so a missing listener never ends a process. */
export interface SourceEvents<T> {
  /** A new value replaced the old one. */
  update: [value: T]
  /** The agent took away what it had given. */
  withdrawn: [error: SpiffeError]
  /** A message of the agent was discarded; the last good one stays. */
  discarded: [error: WorkloadApiError]
  /** The stream broke and will be opened again. */
  retry: [notice: RetryNotice]
  /** The agent refuses for good, or the client that was lent is closed; the source asks no more. */
  stopped: [error: WorkloadApiError | ClosedError]
  /** Something is peculiar; the work goes on all the same. */
  warning: [message: string]
  state: [state: SourceState]
}

type EventName = keyof SourceEvents<unknown>

export type Publish<T> = <N extends EventName>(name: N, endpoint: string, value: SourceEvents<T>[N][0]) => void

/** Outside observers subscribe to `spiffe:source:update` and so on; a message holds the endpoint and the event's value. */
export function openChannels<T>(source: string): Publish<T> {
  const names = ['update', 'withdrawn', 'discarded', 'retry', 'stopped', 'warning', 'state'] satisfies EventName[]
  const channels = Object.fromEntries(names.map((name) => [name, channel(`spiffe:${source}:${name}`)])) as Record<
    EventName,
    ReturnType<typeof channel>
  >
  return (name, endpoint, value) => {
    if (channels[name].hasSubscribers) channels[name].publish({ endpoint, [name]: value })
  }
}
