import { EventEmitter } from 'eventemitter3'
import type { X509Bundle, X509BundleSource } from '../bundle/index.js'
import { ClosedError, SpiffeError } from '../errors/index.js'
import type { WorkloadApiError } from '../errors/index.js'
import { callOut, holding, Latest, longestTimerMs } from '../flow/index.js'
import type { IterateOptions } from '../flow/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import type { X509Context, X509Svid, X509SvidSource } from '../svid/index.js'
import type { Watch, WatchEvent } from '../workload-api/index.js'
import { expired, notYet, tooLate, withdrawn } from './source-errors.js'
import { ExpiryWatchdog } from './watchdog.js'
import { publish } from './x509-source-events.js'
import type { X509SourceEvents, X509SourceState } from './x509-source-events.js'
import { readX509SourceOptions } from './x509-source-options.js'
import type { X509SourceOptions, X509SourceSettings } from './x509-source-options.js'
import type { X509SourceStatus } from './x509-source-status.js'

/** The context in use, with the SVID picked out of it. Replaced as a whole. */
interface Holding {
  readonly context: X509Context
  readonly svid: X509Svid
  readonly since: number
}

/**
 * Always the newest X509-SVID and bundles that the agent issues. It keeps the last good ones through every outage until
 * they expire, and gives them up at once when the agent withdraws the identity. An open source does not hold the process.
 */
export class X509Source extends EventEmitter<X509SourceEvents> implements X509SvidSource, X509BundleSource {
  readonly #settings: X509SourceSettings
  readonly #latest = new Latest<X509Context>()
  readonly #listeners = new Set<() => void>()
  readonly #watchdog: ExpiryWatchdog
  readonly #watch: Watch<X509Context>
  #held: Holding | undefined
  #state: X509SourceState = 'connecting'
  #withdrawal: SpiffeError | undefined
  #lastError: SpiffeError | undefined
  #failures = 0
  #counts = { updates: 0, unchanged: 0, discarded: 0 }
  /** Settles `open()`. */
  #first: { resolve: () => void; reject: (error: unknown) => void } | undefined

  private constructor(settings: X509SourceSettings) {
    super()
    this.#settings = settings
    this.#watchdog = new ExpiryWatchdog(settings.now, () => this.#watch.refresh())
    this.#watch = settings.client.followX509Context(
      {
        onValue: (context) => this.#take(context),
        onEvent: (event) => this.#hear(event),
        onStop: (error) => this.#stop(error),
      },
      settings.backoff,
    )
  }

  /**
   * Connects to the agent and resolves with the first usable update.
   * @throws WorkloadApiError whose `code` says why there is none by the deadline, or that the agent refuses for good;
   * InvalidInputError for an option; the signal's own reason.
   */
  static async open(options: X509SourceOptions = {}): Promise<X509Source> {
    options.signal?.throwIfAborted()
    const settings = readX509SourceOptions(options)
    const source = new X509Source(settings)
    try {
      await holding(source.#opened(settings))
      return source
    } catch (error) {
      await source.close()
      throw error
    }
  }

  /**
   * Connects in the background and returns at once. Until the first update, whoever asks for the SVID is told that there
   * is none yet; `updates()` waits for it, and holds the process meanwhile, while the source itself does not.
   * @throws InvalidInputError for an option.
   */
  static start(options: Omit<X509SourceOptions, 'initialTimeoutMs' | 'signal'> = {}): X509Source {
    return new X509Source(readX509SourceOptions(options))
  }

  /**
   * The newest context.
   * @throws What {@link X509Source.getX509Svid} throws, except for expiry.
   */
  get context(): X509Context {
    return this.#mustHold().context
  }

  /**
   * The newest SVID.
   * @throws WorkloadApiError with code `ERR_SVID_WITHDRAWN` or `ERR_X509_SVID_EXPIRED`, or after {@link X509Source.start}
   * `ERR_WORKLOAD_API_UNAVAILABLE` until the first update; ClosedError.
   */
  getX509Svid(): X509Svid {
    const { svid } = this.#mustHold()
    if (!svid.isExpired(this.#settings.now())) return svid
    throw expired(this.#endpoint, svid, this.#lastError)
  }

  /** The bundle that came with the newest SVID; `undefined` when the agent gave none for this trust domain. */
  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    if (this.#state === 'closed') throw new ClosedError('the X509 source')
    return this.#held?.context.bundles.getX509Bundle(trustDomain)
  }

  /**
   * The newest context, now and after each change; a slow reader skips ahead. Ends when the source is closed, and throws
   * when the agent refuses for good. A reader that waits holds the process.
   */
  updates(options?: IterateOptions): AsyncIterableIterator<X509Context, undefined> {
    return this.#latest.iterate(options)
  }

  /** Calls the listener after each replacement or withdrawal, until the returned function is called. */
  onUpdate(listener: () => void): () => void {
    // Wrapped, so that one function can listen twice and leave once.
    const call = () => {
      listener()
    }
    this.#listeners.add(call)
    return () => {
      this.#listeners.delete(call)
    }
  }

  /** How the source is doing now. */
  status(): X509SourceStatus {
    const now = this.#settings.now()
    const held = this.#withdrawal ? undefined : this.#held
    return {
      state: this.#state,
      endpoint: this.#endpoint,
      dialect: this.#settings.client.dialect,
      lastError: this.#lastError,
      failures: this.#failures,
      svid: held && {
        spiffeId: held.svid.id.toString(),
        serialNumber: held.svid.serialNumber,
        expiresAt: held.svid.expiresAt,
        ageMs: now.getTime() - held.since,
        remainingMs: held.svid.expiresAt.getTime() - now.getTime(),
      },
      messages: { ...this.#counts },
    }
  }

  /** Ends the stream and every iteration. Idempotent. A client that was lent stays open. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#setState('closed')
    this.#watchdog.stop()
    this.#watch.close()
    this.#latest.end()
    this.#held = undefined
    this.#listeners.clear()
    if (this.#settings.ownsClient) await this.#settings.client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #endpoint(): string {
    return this.#settings.client.endpoint.text
  }

  #mustHold(): Holding {
    if (this.#state === 'closed') throw new ClosedError('the X509 source')
    if (this.#withdrawal) throw withdrawn(this.#endpoint, this.#withdrawal)
    // open() resolves with the first update; only start() gives out a source that has had none.
    if (this.#held) return this.#held
    throw notYet(this.#endpoint, this.#lastError)
  }

  #opened({ initialTimeoutMs, signal }: X509SourceSettings): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        this.#first = undefined
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        outcome()
      }
      const onAbort = () => {
        settle(() => {
          // The signal's reason is passed on unchanged.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(signal?.reason)
        })
      }
      const onTimeout = () => {
        settle(() => {
          reject(tooLate('X509-SVID', this.#endpoint, initialTimeoutMs, this.#failures, this.#lastError))
        })
      }
      const timer = initialTimeoutMs > longestTimerMs ? undefined : setTimeout(onTimeout, initialTimeoutMs)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#first = {
        resolve: () => {
          settle(resolve)
        },
        reject: (error) => {
          settle(() => {
            // The error of the watch, unchanged.
            // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
            reject(error)
          })
        },
      }
    })
  }

  #take(message: X509Context): void {
    const context = this.#held ? message.reusing(this.#held.context) : message
    let svid
    try {
      svid = this.#settings.pick(context)
    } catch (cause) {
      // A message is a whole: an identity that is not in it is one that the agent has taken back.
      this.#lastError =
        cause instanceof SpiffeError ? cause : new SpiffeError('ERR_SVID_NOT_FOUND', 'pickSvid threw', { cause })
      this.#failures++
      this.#withdraw(this.#lastError)
      return
    }
    this.#lastError = undefined
    this.#failures = 0
    if (!this.#withdrawal && this.#held?.context.equals(context)) {
      this.#counts.unchanged++
      this.#setState('ready')
      return
    }
    this.#withdrawal = undefined
    this.#held = { context, svid, since: this.#settings.now().getTime() }
    this.#counts.updates++
    this.#watchdog.watch(svid)
    this.#setState('ready')
    this.#latest.set(context)
    this.#tell('update', context)
    this.#callListeners()
    this.#first?.resolve()
  }

  #withdraw(error: SpiffeError): void {
    if (!this.#held || this.#withdrawal) return
    this.#withdrawal = error
    this.#watchdog.stop()
    this.#setState('withdrawn')
    this.#tell('withdrawn', error)
    this.#callListeners()
  }

  #hear(event: WatchEvent): void {
    switch (event.type) {
      case 'discarded':
        this.#lastError = event.error
        this.#failures++
        this.#counts.discarded++
        this.#tell('discarded', event.error)
        break
      case 'warning': {
        const { message } = event
        // Later, so that whoever awaits open() has had the time to listen.
        if (this.#state === 'connecting') setImmediate(() => this.#tell('warning', message))
        else this.#tell('warning', message)
        break
      }
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

  #stop(error: WorkloadApiError): void {
    this.#lastError = error
    this.#watchdog.stop()
    this.#setState('stopped')
    this.#tell('stopped', error)
    this.#latest.end(error)
    this.#first?.reject(error)
  }

  #setState(state: X509SourceState): void {
    if (this.#state === state) return
    this.#state = state
    this.#tell('state', state)
  }

  #tell<N extends keyof X509SourceEvents>(name: N, value: X509SourceEvents[N][0]): void {
    callOut(() => {
      ;(this as EventEmitter<string>).emit(name, value)
    })
    publish(name, this.#endpoint, value)
  }

  #callListeners(): void {
    for (const listener of [...this.#listeners]) callOut(listener)
  }
}
