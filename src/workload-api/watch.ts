import { afterSilence, linkAbort, sleep } from '../flow/index.js'
import { WorkloadApiError } from '../errors/index.js'
import type { ClosedError } from '../errors/index.js'
import type { Agent, StreamEnd, StreamMethod } from './agent.js'
import { delayAfter } from './backoff.js'
import type { BackoffStrategy, FailureKind } from './backoff.js'
import type { Decoded } from './decode/x509-context.js'
import type { Dialect, DialectName } from './dialects/dialect.js'
import type { Connection, OpenStream } from './wire/connection.js'
import { Status } from './wire/status.js'

/** What a watch tells besides values. */
export type WatchEvent =
  /** A connection is being made. */
  | { readonly type: 'connecting' }
  /** The stream is open; nothing has come through it yet. */
  | { readonly type: 'open' }
  /** A message was discarded whole; the stream goes on. */
  | { readonly type: 'discarded'; readonly error: WorkloadApiError }
  /** A message was used, and something about it was peculiar. */
  | { readonly type: 'warning'; readonly message: string }
  /** The agent has no identity for this workload, now. */
  | { readonly type: 'denied'; readonly error: WorkloadApiError; readonly dialect: DialectName | undefined }
  /** The stream will be opened again. */
  | {
      readonly type: 'retry'
      readonly error: WorkloadApiError
      readonly kind: FailureKind
      /** Failures of this kind since the last valid message, this one included. */
      readonly attempt: number
      readonly delayMs: number
    }

export interface WatchHandlers<T> {
  /** A valid message. */
  onValue: (value: T) => void
  onEvent: (event: WatchEvent) => void
  /** The watch has ended for good: asking again will not help, or the client was closed under it. */
  onStop: (error: WorkloadApiError | ClosedError) => void
}

export interface WatchSettings<T> {
  readonly agent: Agent
  readonly method: StreamMethod
  readonly decode: (bytes: Uint8Array, dialect: Dialect) => Decoded<T>
  readonly backoff: BackoffStrategy
  readonly handlers: WatchHandlers<T>
  readonly onClose: () => void
}

/** At most one stream in this time is opened without a delay: an agent that sends and hangs up must not set the pace. */
const immediateEveryMs = 1_000

/** How one stream, or the attempt to open it, ended. */
interface Outcome {
  readonly kind: FailureKind
  readonly error: WorkloadApiError
  readonly terminal?: boolean
  readonly denied?: DialectName | undefined
}

/** A stream that is opened again whenever it ends. Holds no process; ends with `close()` or a final answer. */
export class Watch<T> {
  readonly #settings: WatchSettings<T>
  readonly #ending = new AbortController()
  #wake: () => void = () => undefined
  /** Failures since the last valid message, and when the first of each kind was. */
  readonly #rows = new Map<FailureKind, { attempt: number; since: number }>()
  #immediateAt = -Infinity

  constructor(settings: WatchSettings<T>) {
    this.#settings = settings
  }

  start(): void {
    // Only a fault of our own gets past the loop's handling.
    void this.#run()
  }

  /** Opens a fresh stream on a fresh connection now, whether this one waits, listens or is dead without knowing it. */
  refresh(): void {
    this.#wake()
  }

  close(): void {
    if (this.#ending.signal.aborted) return
    this.#ending.abort()
    this.#settings.onClose()
  }

  /** Closes, and says why to whoever follows. */
  end(error: WorkloadApiError | ClosedError): void {
    if (this.#closed()) return
    this.close()
    this.#settings.handlers.onStop(error)
  }

  async #run(): Promise<void> {
    while (!this.#closed()) {
      const outcome = await this.#stream()
      if (this.#closed() || outcome === 'refresh') continue
      if (outcome.terminal) {
        this.end(outcome.error)
        return
      }
      await this.#wait(outcome)
    }
  }

  // A method, because the compiler would take the signal for unchanged across an await.
  #closed(): boolean {
    return this.#ending.signal.aborted
  }

  /** Opens one stream and follows it to its end. */
  async #stream(): Promise<Outcome | 'refresh'> {
    const { agent, method, handlers } = this.#settings
    const link = linkAbort([this.#ending.signal])
    let connection: Connection | undefined
    try {
      handlers.onEvent({ type: 'connecting' })
      this.#wake = () => {
        link.abort('refresh')
      }
      connection = await agent.connect(method, link.signal)
      return await this.#follow(connection, link.signal)
    } catch (error) {
      if (link.signal.aborted) return 'refresh'
      if (error instanceof WorkloadApiError) return judgeConnect(error)
      throw error
    } finally {
      if (link.signal.aborted && connection && !this.#ending.signal.aborted) agent.renew(connection)
      link.release()
    }
  }

  #follow(connection: Connection, signal: AbortSignal): Promise<Outcome> {
    const { agent, method, handlers } = this.#settings
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      let stream = undefined as OpenStream | undefined
      const settle = (outcome: Outcome) => {
        stopWaiting()
        signal.removeEventListener('abort', onAbort)
        resolve(outcome)
      }
      const onAbort = () => {
        stopWaiting()
        // Whoever hears of an event may close while the stream is being opened.
        stream?.cancel()
        reject(new Error('aborted'))
      }
      const stopWaiting = afterSilence(agent.firstMessageTimeoutMs, () => {
        stream?.cancel()
        agent.renew(connection)
        settle({ kind: 'transient', error: agent.silence() })
      })
      signal.addEventListener('abort', onAbort, { once: true })
      stream = agent.stream(connection, method, {
        onMessage: (bytes, dialect) => {
          stopWaiting()
          this.#take(bytes, dialect)
        },
        onEnd: (end) => settle(judge(end)),
        onWarning: (message) => handlers.onEvent({ type: 'warning', message }),
      })
      if (signal.aborted) stream.cancel()
      else handlers.onEvent({ type: 'open' })
    })
  }

  #take(bytes: Uint8Array, dialect: Dialect): void {
    const { agent, method, decode, handlers } = this.#settings
    let decoded
    try {
      decoded = agent.read(dialect.paths[method], () => decode(bytes, dialect))
    } catch (error) {
      if (error instanceof WorkloadApiError) handlers.onEvent({ type: 'discarded', error })
      return
    }
    // Only a valid message shows that the agent is well.
    this.#rows.clear()
    for (const message of decoded.warnings) handlers.onEvent({ type: 'warning', message })
    handlers.onValue(decoded.value)
  }

  async #wait({ kind, error, denied }: Outcome): Promise<void> {
    const { agent, backoff, handlers } = this.#settings
    const now = performance.now()
    const row = this.#rows.get(kind) ?? { attempt: -1, since: now }
    row.attempt++
    this.#rows.set(kind, row)
    if (kind === 'ended' && row.attempt === 0) {
      if (now - this.#immediateAt < immediateEveryMs) row.attempt = 1
      else this.#immediateAt = now
    }
    const { attempt } = row
    const failure = { kind, attempt, waitedMs: now - row.since, endpoint: agent.endpoint.kind }
    const { delayMs, warning } = delayAfter(failure, backoff)
    if (warning !== undefined) handlers.onEvent({ type: 'warning', message: warning })
    // It never came so far as to be read, and is discarded all the same.
    if (error.code === 'ERR_WORKLOAD_API_RESPONSE_INVALID') handlers.onEvent({ type: 'discarded', error })
    if (kind === 'denied') handlers.onEvent({ type: 'denied', error, dialect: denied })
    handlers.onEvent({ type: 'retry', error, kind, attempt: attempt + 1, delayMs })
    if (delayMs <= 0) return
    const link = linkAbort([this.#ending.signal])
    this.#wake = () => {
      link.abort('refresh')
    }
    await sleep(delayMs, link.signal).catch(() => undefined)
    link.release()
  }
}

/** Before a stream was opened: no connection, or an agent that would not say in which dialect it answers. */
function judgeConnect(error: WorkloadApiError): Outcome {
  if (error.code === 'ERR_TIMEOUT') return { kind: 'transient', error }
  if (error.grpcStatus === undefined) return { kind: 'unreachable', error }
  return { kind: 'transient', error, terminal: error.grpcStatus === Status.unimplemented }
}

/** What the end of a stream means for the next one. */
function judge({ status, error, broken, dialect }: StreamEnd): Outcome {
  if (broken) return { kind: 'ended', error }
  switch (status.code) {
    case Status.ok:
      return { kind: 'ended', error }
    case Status.permissionDenied:
      return { kind: 'denied', error, denied: dialect }
    case Status.invalidArgument:
    case Status.unimplemented:
      // Workload Endpoint §6, appendix A: report, do not retry.
      return { kind: 'transient', error, terminal: true }
    default:
      return { kind: 'transient', error }
  }
}
