import { EventEmitter } from 'eventemitter3'
import type { X509Bundle, X509BundleSet, X509BundleSource } from '../bundle/index.js'
import { ClosedError, SpiffeError } from '../errors/index.js'
import { callOut, Latest } from '../flow/index.js'
import type { IterateOptions } from '../flow/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import type { X509Context, X509Svid, X509SvidSource } from '../svid/index.js'
import { EarlyWarnings } from './early-warnings.js'
import { Follower } from './follower.js'
import { Listeners } from './listeners.js'
import { expired } from './source-errors.js'
import type { SourceEvents } from './source-events.js'
import { ExpiryWatchdog } from './watchdog.js'
import { publish } from './x509-source-events.js'
import type { X509SourceEvents } from './x509-source-events.js'
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
  readonly #listeners = new Listeners()
  readonly #warnings = new EarlyWarnings(
    (message) => this.#tell('warning', message),
    () => this.listenerCount('warning') > 0,
  )
  readonly #watchdog: ExpiryWatchdog
  readonly #follower: Follower<Holding, X509Context>
  /** Of the newest message, also where the SVID that is wanted was not in it. */
  #bundles: X509BundleSet | undefined

  private constructor(settings: X509SourceSettings) {
    super()
    const { client, backoff, now } = settings
    this.#settings = settings
    this.#watchdog = new ExpiryWatchdog(now, () => this.#follower.refresh())
    this.#follower = new Follower(
      {
        what: 'X509-SVID',
        follow: (handlers) => client.followX509Context(handlers, backoff),
        take: (message, earlier) => this.#take(message, earlier),
        equals: (a, b) => a.context.equals(b.context),
      },
      settings,
      this.#hear,
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
      await source.#follower.ready({ timeoutMs: settings.initialTimeoutMs, signal: settings.signal })
      source.#warnings.release()
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
    const source = new X509Source(readX509SourceOptions(options))
    source.#warnings.release()
    return source
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
    throw expired(this.#endpoint, svid, this.#follower.status().lastError)
  }

  /**
   * The bundle of the newest message; `undefined` when the agent gave none for this trust domain. It stays while the SVID
   * is withdrawn: an identity that is denied takes nothing back of whom to trust, and a message without the wanted SVID
   * brings its own bundles.
   */
  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    this.#assertOpen()
    return this.#bundles?.getX509Bundle(trustDomain)
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
    return this.#listeners.add(listener)
  }

  /** How the source is doing now. */
  status(): X509SourceStatus {
    const now = this.#settings.now()
    const held = this.#follower.value
    return {
      ...this.#follower.status(),
      svid: held && {
        spiffeId: held.svid.id.toString(),
        serialNumber: held.svid.serialNumber,
        expiresAt: held.svid.expiresAt,
        ageMs: now.getTime() - held.since,
        remainingMs: held.svid.expiresAt.getTime() - now.getTime(),
      },
    }
  }

  /** Ends the stream and every iteration. Idempotent. A client that was lent stays open. */
  async close(): Promise<void> {
    if (this.#follower.state === 'closed') return
    this.#watchdog.stop()
    this.#follower.close()
    this.#latest.end()
    this.#listeners.clear()
    if (this.#settings.ownsClient) await this.#settings.client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #endpoint(): string {
    return this.#settings.client.endpoint.text
  }

  #assertOpen(): void {
    if (this.#follower.state === 'closed') throw new ClosedError('the X509 source')
  }

  #mustHold(): Holding {
    this.#assertOpen()
    return this.#follower.mustHold()
  }

  #take(message: X509Context, earlier: Holding | undefined): Holding {
    const context = earlier ? message.reusing(earlier.context) : message
    this.#trust(context.bundles)
    try {
      return { context, svid: this.#settings.pick(context), since: this.#settings.now().getTime() }
    } catch (cause) {
      if (cause instanceof SpiffeError) throw cause
      throw new SpiffeError('ERR_SVID_NOT_FOUND', 'the function pickSvid threw; see cause', { cause })
    }
  }

  #trust(bundles: X509BundleSet): void {
    const before = this.#bundles
    this.#bundles = bundles
    // A message without the wanted SVID is no update, and may change whom to trust all the same.
    if (before && before !== bundles && !this.#follower.value) queueMicrotask(() => this.#listeners.call())
  }

  readonly #hear = <N extends keyof SourceEvents<Holding>>(name: N, value: SourceEvents<Holding>[N][0]): void => {
    if (name === 'update') {
      const { context, svid } = value as Holding
      this.#watchdog.watch(svid)
      this.#latest.set(context)
      this.#tell('update', context)
    } else if (name === 'warning') {
      this.#warnings.tell(value as string)
    } else {
      if (name === 'withdrawn' || name === 'stopped') this.#watchdog.stop()
      this.#tell(name, value as X509SourceEvents[N][0])
    }
    if (name === 'stopped') this.#latest.end(value)
    if (name === 'update' || name === 'withdrawn') this.#listeners.call()
  }

  #tell<N extends keyof X509SourceEvents>(name: N, value: X509SourceEvents[N][0]): void {
    callOut(() => {
      ;(this as EventEmitter<string>).emit(name, value)
    })
    publish(name, this.#endpoint, value)
  }
}
