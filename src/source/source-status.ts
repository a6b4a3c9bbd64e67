import type { SpiffeError } from '../errors/index.js'
import type { DialectName } from '../workload-api/index.js'
import type { SourceState } from './source-events.js'

/** A snapshot of how a stream of a source is doing. Plain data, without secrets: fit for a health endpoint. */
export interface SourceStatus {
  readonly state: SourceState
  readonly endpoint: string
  /** What the agent speaks; `undefined` before it answered. */
  readonly dialect: DialectName | undefined
  /** What went wrong last; `undefined` once a valid message came after it. */
  readonly lastError: SpiffeError | undefined
  /** Failures since the last valid message. */
  readonly failures: number
  readonly messages: MessageCounts
}

export interface MessageCounts {
  /** Messages that replaced what was held. */
  readonly updates: number
  /** Valid messages that changed nothing. */
  readonly unchanged: number
  readonly discarded: number
}
