import { ClosedError, SpiffeError } from '../errors/index.js'
import { Latest, linkAbort, longestTimerMs } from '../flow/index.js'
import type { Watch, WatchEvent, WatchHandlers } from '../workload-api/index.js'
import type { SourceEvents, SourceState } from './source-events.js'
import { notYet, tooLate, withdrawn } from './source-errors.js'
import type { SourceSettings } from './source-options.js'
import type { MessageCounts, SourceStatus } from './source-status.js'

/** A stream of messages `M` to follow, what of them is held, and how those values are told apart. */
export interface Followed<T, M = T> {
  /** In the words of a message: `JWT bundle`. */
  readonly what: string
  readonly follow: (handlers: WatchHandlers<M>) => Watch<M>
  /** Makes the value of a message, of parts of the earlier one where they are equal. A `SpiffeError` takes it away. */
  readonly take: (message: M, earlier: T | undefined) => T
  readonly equals: (a: T, b: T) => boolean
}

type Tell<T> = <N extends keyof SourceEvents<T>>(name: N, value: SourceEvents<T>[N][0]) => void

/**
 * The newest value of one stream: replaced as a whole, kept while the agent is away, given up when the agent denies it.
 * Equal values wake nobody.
 */
export class Follower<T extends object, M = T> {
  readonly #followed: Followed<T, M>
  readonly #settings: SourceSettings
  readonly #tell: Tell<T>
  readonly #first = new Latest<T>()
  readonly #watch: Watch<M>
  #held: T | undefined
  #state: SourceState = 'connecting'
  #withdrawal: SpiffeError | undefined
  #lastError: SpiffeError | undefined
  #failures = 0
  #counts: { -readonly [Name in keyof MessageCounts]: number } = { updates: 0, unchanged: 0, discarded: 0 }

  constructor(followed: Followed<T, M>, settings: SourceSettings, tell: Tell<T>) {
    this.#followed = followed
    this.#settings = settings
    this.#tell = tell
    this.#watch = followed.follow({
      onValue: (message) => this.#take(message),
      onEvent: (event) => this.#hear(event),
      onStop: (error) => this.#stop(error),
    })
  }

  /** The newest value; `undefined` before the first one, and while it is withdrawn. */
  get value(): T | undefined {
    return this.#withdrawal ? undefined : this.#held
  }

  /** The newest value, also while it is withdrawn. */
  get latest(): T | undefined {
    return this.#held
  }

  get state(): SourceState {
    return this.#state
  }

  status(): SourceStatus {
    return {
      state: this.#state,
      endpoint: this.#endpoint,
      dialect: this.#settings.client.dialect,
      lastError: this.#lastError,
      failures: this.#failures,
      messages: { ...this.#counts },
    }
  }

  /** The newest value, or an error that says why there is none. */
  mustHold(): T {
    if (this.#withdrawal) throw withdrawn(this.#followed.what, this.#endpoint, this.#withdrawal)
    if (this.#held) return this.#held
    throw notYet(this.#followed.what, this.#endpoint, this.#lastError)
  }

  /** Resolves when the first value has come. Holds the process until then. */
  async ready({ timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined }): Promise<void> {
    if (this.#held) return
    const link = linkAbort([signal])
    const onTimeout = () => {
      link.abort(tooLate(this.#followed.what, this.#endpoint, timeoutMs, this.#failures, this.#lastError))
    }
    const timer = timeoutMs > longestTimerMs ? undefined : setTimeout(onTimeout, timeoutMs)
    try {
      const { done } = await this.#first.iterate({ signal: link.signal }).next()
      if (done) throw new ClosedError('the source')
    } finally {
      clearTimeout(timer)
      link.release()
    }
  }

  /** Opens a fresh stream now, whatever the present one is doing. */
  refresh(): void {
    this.#watch.refresh()
  }

  close(): void {
    this.#watch.close()
    this.#first.end()
    this.#setState('closed')
    this.#held = undefined
  }

  get #endpoint(): string {
    return this.#settings.client.endpoint.text
  }

  #take(message: M): void {
    let value
    try {
      value = this.#followed.take(message, this.#held)
    } catch (error) {
      if (!(error instanceof SpiffeError)) throw error
      // A message is a whole: what is not in it is what the agent has taken back.
      this.#lastError = error
      this.#failures++
      this.#withdraw(error)
      return
    }
    this.#lastError = undefined
    this.#failures = 0
    if (this.value && this.#followed.equals(this.value, value)) {
      this.#counts.unchanged++
      this.#setState('ready')
      return
    }
    this.#withdrawal = undefined
    this.#held = value
    this.#counts.updates++
    this.#setState('ready')
    this.#tell('update', value)
    this.#first.set(value)
  }

  #hear(event: WatchEvent): void {
    switch (event.type) {
      case 'discarded':
        this.#lastError = event.error
        this.#failures++
        this.#counts.discarded++
        this.#tell('discarded', event.error)
        break
      case 'warning':
        this.#tell('warning', event.message)
        break
      case 'denied': {
        // An ICP agent answers every fault with a denial, also an outage behind it.
        const keep = (this.#settings.onDenied ?? (event.dialect === 'icp' ? 'keep' : 'withdraw')) === 'keep'
        if (!keep) this.#withdraw(event.error)
        break
      }
      case 'retry': {
        const { error, kind, attempt, delayMs } = event
        this.#lastError = error
        this.#failures++
        if (this.#state === 'ready') this.#setState('reconnecting')
        this.#tell('retry', { error, kind, attempt, delayMs })
        break
      }
      case 'connecting':
      case 'open':
        break
    }
  }

  #withdraw(error: SpiffeError): void {
    if (!this.value) return
    this.#withdrawal = error
    this.#setState('withdrawn')
    this.#tell('withdrawn', error)
  }

  #stop(error: SourceEvents<T>['stopped'][0]): void {
    this.#lastError = error
    this.#setState('stopped')
    this.#tell('stopped', error)
    this.#first.end(error)
  }

  #setState(state: SourceState): void {
    if (this.#state === state) return
    this.#state = state
    this.#tell('state', state)
  }
}
