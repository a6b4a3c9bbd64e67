import { EventEmitter } from 'eventemitter3'
import { JwtBundleSet, X509BundleSet } from '../bundle/index.js'
import type { JwtBundle, JwtBundleSource, X509Bundle, X509BundleSource } from '../bundle/index.js'
import { ClosedError, expectOneOf } from '../errors/index.js'
import { callOut, Latest } from '../flow/index.js'
import type { IterateOptions } from '../flow/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import { EarlyWarnings } from './early-warnings.js'
import { Follower } from './follower.js'
import { Listeners } from './listeners.js'
import { openChannels } from './source-events.js'
import type { SourceEvents, SourceState } from './source-events.js'
import { readSourceOptions } from './source-options.js'
import type { SourceOptions, SourceSettings } from './source-options.js'
import type { SourceStatus } from './source-status.js'

export interface BundleSourceOptions extends SourceOptions {
  /** Follow the bundles of one kind of SVID only. Default both; `open()` waits for what is followed. */
  only?: 'x509' | 'jwt' | undefined
}

/** All bundles at one time. What the agent withdrew, and what is not followed, is empty. Immutable. */
export interface BundleSnapshot {
  readonly x509Bundles: X509BundleSet
  readonly jwtBundles: JwtBundleSet
}

/** What a `BundleSource` emits. The two streams emit alike; `state` is that of the one that is worse off. */
export type BundleSourceEvents = SourceEvents<BundleSnapshot>

export interface BundleSourceStatus {
  readonly state: SourceState
  /** `undefined` when these bundles are not followed. */
  readonly x509: SourceStatus | undefined
  readonly jwt: SourceStatus | undefined
}

const publish = openChannels<BundleSnapshot>('bundle-source')
const noX509Bundles = new X509BundleSet([])
const noJwtBundles = new JwtBundleSet([])

/** From worst to best: the state of several streams is that of the one that comes first here. */
const byConcern: readonly SourceState[] = ['closed', 'stopped', 'withdrawn', 'connecting', 'reconnecting', 'ready']

/**
 * The newest bundles of the agent's own and of foreign trust domains, for whoever proves the SVIDs of others and needs
 * none himself. It keeps the last good ones while the agent is away. An open source does not hold the process.
 */
export class BundleSource extends EventEmitter<BundleSourceEvents> implements X509BundleSource, JwtBundleSource {
  readonly #settings: SourceSettings
  readonly #latest = new Latest<BundleSnapshot>()
  readonly #listeners = new Listeners()
  #x509: Follower<X509BundleSet> | undefined
  #jwt: Follower<JwtBundleSet> | undefined
  #state: SourceState = 'connecting'
  readonly #warnings = new EarlyWarnings(
    (message) => this.#tell('warning', message),
    () => this.listenerCount('warning') > 0,
  )

  private constructor(options: BundleSourceOptions) {
    super()
    const settings = readSourceOptions(options)
    expectOneOf('only', options.only, ['x509', 'jwt'])
    const { client, backoff } = settings
    this.#settings = settings
    if (options.only !== 'jwt') {
      this.#x509 = new Follower(
        {
          what: 'X.509 bundle',
          follow: (handlers) => client.followX509Bundles(handlers, backoff),
          take: (bundles, earlier) => (earlier ? bundles.reusing(earlier) : bundles),
          equals: (a, b) => a.equals(b),
        },
        settings,
        this.#hear,
      )
    }
    if (options.only !== 'x509') {
      this.#jwt = new Follower(
        {
          what: 'JWT bundle',
          follow: (handlers) => client.followJwtBundles(handlers, backoff),
          take: (bundles) => bundles,
          equals: (a, b) => a.equals(b),
        },
        settings,
        this.#hear,
      )
    }
  }

  /**
   * Connects to the agent and resolves with the first bundles.
   * @throws WorkloadApiError whose `code` says why there are none by the deadline, or that the agent refuses for good;
   * InvalidInputError for an option; the signal's own reason.
   */
  static async open(options: BundleSourceOptions = {}): Promise<BundleSource> {
    options.signal?.throwIfAborted()
    const source = new BundleSource(options)
    try {
      const { initialTimeoutMs: timeoutMs, signal } = source.#settings
      await Promise.all(source.#followers.map((follower) => follower.ready({ timeoutMs, signal })))
      source.#warnings.release()
      return source
    } catch (error) {
      await source.close()
      throw error
    }
  }

  /** All bundles now. */
  get snapshot(): BundleSnapshot {
    this.#assertOpen()
    return this.#take()
  }

  /** The newest X.509 bundle; `undefined` when the agent gives none for this trust domain, or gives none any more. */
  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    this.#assertOpen()
    return this.#x509?.value?.getX509Bundle(trustDomain)
  }

  /** The newest JWT bundle; `undefined` when the agent gives none for this trust domain, or gives none any more. */
  getJwtBundle(trustDomain: TrustDomain): JwtBundle | undefined {
    this.#assertOpen()
    return this.#jwt?.value?.getJwtBundle(trustDomain)
  }

  /**
   * All bundles, now and after each change; a slow reader skips ahead. Ends when the source is closed, and throws when
   * the agent refuses for good. A reader that waits holds the process.
   */
  updates(options?: IterateOptions): AsyncIterableIterator<BundleSnapshot, undefined> {
    return this.#latest.iterate(options)
  }

  /** Calls the listener after each replacement or withdrawal, until the returned function is called. */
  onUpdate(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** How the source is doing now. */
  status(): BundleSourceStatus {
    return { state: this.#state, x509: this.#x509?.status(), jwt: this.#jwt?.status() }
  }

  /** Ends the streams and every iteration. Idempotent. A client that was lent stays open. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    for (const follower of this.#followers) follower.close()
    this.#latest.end()
    this.#listeners.clear()
    if (this.#settings.ownsClient) await this.#settings.client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #followers(): readonly (Follower<X509BundleSet> | Follower<JwtBundleSet>)[] {
    return [this.#x509, this.#jwt].filter((follower) => follower !== undefined)
  }

  #assertOpen(): void {
    if (this.#state === 'closed') throw new ClosedError('the bundle source')
  }

  #take(): BundleSnapshot {
    return Object.freeze({
      x509Bundles: this.#x509?.value ?? noX509Bundles,
      jwtBundles: this.#jwt?.value ?? noJwtBundles,
    })
  }

  /** What one of the streams tells. Its own values and states become those of the whole. */
  readonly #hear = <N extends keyof SourceEvents<object>>(name: N, value: SourceEvents<object>[N][0]): void => {
    if (name === 'state') {
      this.#setState()
      return
    }
    if (name === 'warning') {
      this.#warnings.tell(value as string)
      return
    }
    if (name === 'stopped') this.#latest.end(value)
    if (name === 'update' || name === 'withdrawn') this.#changed()
    if (name !== 'update') this.#tell(name, value as BundleSourceEvents[N][0])
  }

  #changed(): void {
    // Until each stream has brought something, nothing is whole.
    if (this.#followers.some(({ state }) => state === 'connecting')) return
    const snapshot = this.#take()
    this.#latest.set(snapshot)
    this.#tell('update', snapshot)
    this.#listeners.call()
  }

  #setState(): void {
    const states = this.#followers.map(({ state }) => state)
    const state = byConcern.find((one) => states.includes(one)) ?? 'connecting'
    if (this.#state === state) return
    this.#state = state
    this.#tell('state', state)
  }

  #tell<N extends keyof BundleSourceEvents>(name: N, value: BundleSourceEvents[N][0]): void {
    callOut(() => {
      ;(this as EventEmitter<string>).emit(name, value)
    })
    publish(name, this.#settings.client.endpoint.text, value)
  }
}
