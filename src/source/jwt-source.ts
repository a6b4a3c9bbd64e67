import { EventEmitter } from 'eventemitter3'
import type { JwtBundle, JwtBundleSet, JwtBundleSource } from '../bundle/index.js'
import { sameKey } from '../encoding/index.js'
import { ClosedError, InvalidInputError, WorkloadApiError } from '../errors/index.js'
import { callOut, Latest } from '../flow/index.js'
import type { IterateOptions } from '../flow/index.js'
import { SpiffeId } from '../spiffe-id/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import { expectClockSkew, verifyJwtSvid } from '../svid/index.js'
import type { GetJwtSvidOptions, JwtSvid, JwtSvidSource, VerifiedJwtSvid } from '../svid/index.js'
import { EarlyWarnings } from './early-warnings.js'
import { Follower } from './follower.js'
import { JwtSvidCache } from './jwt-svid-cache.js'
import { Listeners } from './listeners.js'
import { openChannels } from './source-events.js'
import type { SourceEvents } from './source-events.js'
import { readSourceOptions } from './source-options.js'
import type { SourceOptions, SourceSettings } from './source-options.js'
import type { SourceStatus } from './source-status.js'

export interface JwtSourceOptions extends SourceOptions {
  /** Most JWT-SVIDs that are kept for the next caller; the least recently used one makes room. Default 1 000. */
  maxCachedSvids?: number | undefined
  /** How far the clocks of issuers may be off, in milliseconds, for {@link JwtSource.validate}. Default 60 000. */
  clockSkewMs?: number | undefined
}

/** What a `JwtSource` emits; what it is updated with are the JWT bundles. */
export type JwtSourceEvents = SourceEvents<JwtBundleSet>

export interface JwtSourceStatus extends SourceStatus {
  /** JWT-SVIDs that are kept for the next caller. */
  readonly cachedSvids: number
}

const publish = openChannels<JwtBundleSet>('jwt-source')

/**
 * JWT-SVIDs to show, and the newest keys to prove those that others show. JWT-SVIDs are kept and renewed at half of
 * their life; proving is local and asks nobody. An open source does not hold the process.
 */
export class JwtSource extends EventEmitter<JwtSourceEvents> implements JwtBundleSource, JwtSvidSource {
  readonly #settings: SourceSettings
  readonly #clockSkewMs: number | undefined
  readonly #cache: JwtSvidCache
  readonly #latest = new Latest<JwtBundleSet>()
  readonly #listeners = new Listeners()
  readonly #warnings = new EarlyWarnings(
    (message) => this.#say('warning', message),
    () => this.listenerCount('warning') > 0,
  )
  readonly #follower: Follower<JwtBundleSet>
  #bundles: JwtBundleSet | undefined

  private constructor(options: JwtSourceOptions) {
    super()
    const { maxCachedSvids = 1_000 } = options
    const clockSkewMs = options.clockSkewMs === undefined ? undefined : expectClockSkew(options.clockSkewMs)
    if (!Number.isSafeInteger(maxCachedSvids) || maxCachedSvids < 0) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `expected maxCachedSvids to be a whole number from 0, found ${maxCachedSvids}`,
      )
    }
    const settings = readSourceOptions(options)
    const { client } = settings
    this.#settings = settings
    this.#clockSkewMs = clockSkewMs
    this.#cache = new JwtSvidCache({
      fetch: ({ audiences, spiffeId }, signal) =>
        client.fetchJwtSvid(audiences, { spiffeId, signal, holdProcess: false }),
      now: settings.now,
      maxEntries: maxCachedSvids,
      isWithdrawal: (error) => this.#isWithdrawal(error),
      onRenewalFailed: ({ audiences }, error) => {
        const whom = audiences.map((audience) => JSON.stringify(audience)).join(', ')
        this.#tell('warning', `the JWT-SVID for ${whom} could not be renewed and is used on: ${error.message}`)
      },
    })
    this.#follower = new Follower(
      {
        what: 'JWT bundle',
        follow: (handlers) => client.followJwtBundles(handlers, settings.backoff),
        take: (bundles) => bundles,
        equals: (a, b) => a.equals(b),
      },
      settings,
      this.#tell,
    )
  }

  /**
   * Connects to the agent and resolves with the first JWT bundles.
   * @throws WorkloadApiError whose `code` says why there are none by the deadline, or that the agent refuses for good;
   * InvalidInputError for an option; the signal's own reason.
   */
  static async open(options: JwtSourceOptions = {}): Promise<JwtSource> {
    options.signal?.throwIfAborted()
    const source = new JwtSource(options)
    try {
      await source.#ready(options.signal)
      source.#warnings.release()
      return source
    } catch (error) {
      await source.close()
      throw error
    }
  }

  /**
   * Connects in the background and returns at once. JWT-SVIDs can be asked for without delay; `validate()` waits for the
   * first JWT bundles.
   * @throws InvalidInputError for an option.
   */
  static start(options: Omit<JwtSourceOptions, 'signal'> = {}): JwtSource {
    const source = new JwtSource(options)
    source.#warnings.release()
    return source
  }

  /**
   * The newest JWT bundles.
   * @throws WorkloadApiError with code `ERR_SVID_WITHDRAWN`, or after {@link JwtSource.start}
   * `ERR_WORKLOAD_API_UNAVAILABLE` until the first update; ClosedError.
   */
  get bundles(): JwtBundleSet {
    this.#assertOpen()
    return this.#follower.mustHold()
  }

  /** The newest JWT bundle; `undefined` when the agent gives none for this trust domain, or gives none any more. */
  getJwtBundle(trustDomain: TrustDomain): JwtBundle | undefined {
    this.#assertOpen()
    return this.#follower.value?.getJwtBundle(trustDomain)
  }

  /**
   * A JWT-SVID to show to one or more audiences: a kept one that is good for a while, or a new one of the agent.
   * @throws WorkloadApiError, InvalidInputError, ClosedError, or the signal's reason.
   */
  async getJwtSvid(
    audience: string | readonly string[],
    { spiffeId, signal }: GetJwtSvidOptions = {},
  ): Promise<JwtSvid> {
    this.#assertOpen()
    const audiences = [...new Set(typeof audience === 'string' ? [audience] : audience)]
    if (audiences.length === 0 || audiences.includes('')) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'expected one or more audiences, none of them empty')
    }
    const id = typeof spiffeId === 'string' ? SpiffeId.parse(spiffeId) : spiffeId
    return this.#cache.get({ audiences, spiffeId: id }, signal)
  }

  /**
   * Proves a JWT-SVID that somebody showed, with the newest JWT bundles; see {@link verifyJwtSvid}.
   * @param audience - Who we are to those who show tokens, one name or several.
   * @throws UntrustedPeerError when it is not proved; what {@link JwtSource.bundles} throws; InvalidInputError; the
   * signal's reason.
   */
  async validate(
    token: string,
    audience: string | readonly string[],
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<VerifiedJwtSvid> {
    this.#assertOpen()
    await this.#ready(options.signal)
    // Says why when there are none, instead of blaming the token.
    const { bundles } = this
    return verifyJwtSvid(token, bundles, { audience, now: this.#settings.now(), clockSkewMs: this.#clockSkewMs })
  }

  /**
   * The newest JWT bundles, now and after each change; a slow reader skips ahead. Ends when the source is closed, and
   * throws when the agent refuses for good. A reader that waits holds the process.
   */
  updates(options?: IterateOptions): AsyncIterableIterator<JwtBundleSet, undefined> {
    return this.#latest.iterate(options)
  }

  /** Calls the listener after each replacement or withdrawal of the bundles, until the returned function is called. */
  onUpdate(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** How the source is doing now. */
  status(): JwtSourceStatus {
    return { ...this.#follower.status(), cachedSvids: this.#cache.size }
  }

  /** Ends the stream, every call and every iteration. Idempotent. A client that was lent stays open. */
  async close(): Promise<void> {
    if (this.#follower.state === 'closed') return
    this.#follower.close()
    this.#cache.close(new ClosedError('the JWT source'))
    this.#latest.end()
    this.#listeners.clear()
    if (this.#settings.ownsClient) await this.#settings.client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #ready(signal: AbortSignal | undefined): Promise<void> {
    return this.#follower.ready({ timeoutMs: this.#settings.initialTimeoutMs, signal })
  }

  #assertOpen(): void {
    if (this.#follower.state === 'closed') throw new ClosedError('the JWT source')
  }

  #isWithdrawal(error: unknown): boolean {
    if (!(error instanceof WorkloadApiError) || error.code !== 'ERR_WORKLOAD_API_DENIED') return false
    const { onDenied, client } = this.#settings
    return (onDenied ?? (client.dialect === 'icp' ? 'keep' : 'withdraw')) === 'withdraw'
  }

  #take(bundles: JwtBundleSet): void {
    // A key that is gone takes with it what it signed.
    if (this.#bundles && !keepsEveryKey(this.#bundles, bundles)) this.#cache.clear()
    this.#bundles = bundles
    this.#latest.set(bundles)
  }

  readonly #tell = <N extends keyof JwtSourceEvents>(name: N, value: JwtSourceEvents[N][0]): void => {
    if (name === 'update') this.#take(value as JwtBundleSet)
    if (name === 'withdrawn') this.#cache.clear()
    if (name === 'stopped') this.#latest.end(value)
    if (name === 'warning') this.#warnings.tell(value as string)
    else this.#say(name, value)
    if (name === 'update' || name === 'withdrawn') this.#listeners.call()
  }

  #say<N extends keyof JwtSourceEvents>(name: N, value: JwtSourceEvents[N][0]): void {
    callOut(() => {
      ;(this as EventEmitter<string>).emit(name, value)
    })
    publish(name, this.#settings.client.endpoint.text, value)
  }
}

function keepsEveryKey(before: JwtBundleSet, after: JwtBundleSet): boolean {
  return [...before].every(({ trustDomain, authorities }) => {
    const kept = after.getJwtBundle(trustDomain)
    return authorities.every(({ keyId, publicKey }) =>
      kept?.find(keyId).some((candidate) => sameKey(candidate.publicKey, publicKey)),
    )
  })
}
