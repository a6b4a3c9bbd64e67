import { dirname } from 'node:path'
import { EventEmitter } from 'eventemitter3'
import type { X509Bundle, X509BundleSource } from '../bundle/index.js'
import { ClosedError, SpiffeError } from '../errors/index.js'
import { Latest, callOut, expectMs, holding, longestTimerMs, sleep } from '../flow/index.js'
import type { IterateOptions } from '../flow/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import type { X509Context, X509Svid, X509SvidSource } from '../svid/index.js'
import { DirectoryWatch } from './directory-watch.js'
import { readLocation } from './file-source-options.js'
import type { X509FileSourceOptions } from './file-source-options.js'
import { readIdentity, stampOf } from './read-identity.js'
import type { IdentityPaths } from './read-identity.js'

export interface X509FileSourceEvents {
  /** The files changed and hold another identity, which is in use from now on. */
  updated: (context: X509Context) => void
  /** The files have not been readable for a while; the last good identity stays in use. */
  warning: (error: SpiffeError) => void
}

/**
 * The newest identity that some other program keeps in files: a {@link SvidFileWriter} of another process,
 * spiffe-helper, cert-manager's csi-driver-spiffe, a Kubernetes projected volume. Everything that takes a source of
 * SVIDs and bundles takes this one.
 *
 * Halves of two generations are never paired: until all files fit together the last good identity stays.
 */
export class X509FileSource extends EventEmitter<X509FileSourceEvents> implements X509SvidSource, X509BundleSource {
  readonly #paths: IdentityPaths
  readonly #latest = new Latest<X509Context>()
  readonly #listeners = new Set<() => void>()
  #watch: DirectoryWatch | undefined
  #context: X509Context | undefined
  #stamp: string | undefined
  #failure: { readonly error: SpiffeError; reported: boolean; readonly at: number } | undefined
  #reading: Promise<void> | undefined
  #again = false
  #closed = false

  private constructor(paths: IdentityPaths) {
    super()
    this.#paths = paths
  }

  /**
   * Waits until the files are there and fit together.
   * @throws InvalidInputError `ERR_INVALID_ARGUMENT`; SpiffeError `ERR_FILE_READ_FAILED` after `initialTimeoutMs`; its cause is what was wrong at the last look.
   */
  static async open(options: X509FileSourceOptions): Promise<X509FileSource> {
    const initialTimeoutMs = expectMs('initialTimeoutMs', options.initialTimeoutMs ?? 30_000)
    const pollMs = expectMs('pollMs', options.pollMs ?? 10_000, 1)
    const source = new X509FileSource(readLocation(options))
    try {
      await holding(source.#start(initialTimeoutMs, pollMs, options.signal))
      return source
    } catch (error) {
      await source.close()
      throw error
    }
  }

  /** SVID and bundles as they were read together. */
  get context(): X509Context {
    if (this.#closed || !this.#context) throw new ClosedError('the X509FileSource')
    return this.#context
  }

  /** @throws SpiffeError `ERR_X509_SVID_EXPIRED` when nobody has renewed the files in time. */
  getX509Svid(): X509Svid {
    const svid = this.context.defaultSvid
    if (!svid.isExpired()) return svid
    throw new SpiffeError(
      'ERR_X509_SVID_EXPIRED',
      `the X509-SVID in ${this.#paths.certFile} expired at ${svid.expiresAt.toISOString()}, and no newer one was written; ` +
        'see whether the program that writes it still runs',
      { cause: this.#failure?.error },
    )
  }

  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    return this.context.bundles.getX509Bundle(trustDomain)
  }

  /** Calls `listener` after each replacement; returns the function that ends it. */
  onUpdate(listener: () => void): () => void {
    const own = () => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  /** The identity of this moment, then each newer one; the latest wins. Ends with `close()`. */
  updates(options?: IterateOptions): AsyncIterableIterator<X509Context, undefined> {
    return this.#latest.iterate(options)
  }

  close(): Promise<void> {
    this.#closed = true
    this.#watch?.close()
    this.#latest.end()
    this.#listeners.clear()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #start(initialTimeoutMs: number, pollMs: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    const { certFile, keyFile, caFile } = this.#paths
    const changed = () => void this.#look(pollMs)
    this.#watch = new DirectoryWatch(
      [certFile, keyFile, caFile].map((path) => dirname(path)),
      pollMs,
      changed,
    )
    const first = this.#latest.iterate({ signal }).next()
    changed()
    if (initialTimeoutMs > longestTimerMs) {
      await first
      return
    }
    const stop = new AbortController()
    const late = sleep(initialTimeoutMs, stop.signal).then(() => {
      throw this.#failure?.error ?? new SpiffeError('ERR_FILE_READ_FAILED', `${certFile} was not read in time`)
    })
    try {
      await Promise.race([first, late])
    } finally {
      first.catch(() => undefined)
      late.catch(() => undefined)
      stop.abort()
    }
  }

  /** Reads the files if they changed; a change during the reading is read as well. Never rejects. */
  async #look(patienceMs: number): Promise<void> {
    this.#again = true
    if (this.#reading) return
    while (this.#again && !this.#closed) {
      this.#again = false
      this.#reading = this.#readIfChanged(patienceMs)
      await this.#reading
    }
    this.#reading = undefined
  }

  async #readIfChanged(patienceMs: number): Promise<void> {
    const stamp = await stampOf(this.#paths)
    if (stamp !== undefined && stamp === this.#stamp) {
      this.#failure = undefined
      return
    }
    try {
      const { context, stamp } = await readIdentity(this.#paths)
      this.#stamp = stamp
      this.#failure = undefined
      this.#replace(context)
    } catch (error) {
      this.#failed(error as SpiffeError, patienceMs)
    }
  }

  #replace(read: X509Context): void {
    if (this.#closed || this.#context?.equals(read)) return
    const context = this.#context ? read.reusing(this.#context) : read
    const first = this.#context === undefined
    this.#context = context
    this.#latest.set(context)
    for (const listener of [...this.#listeners]) callOut(listener)
    if (!first) callOut(() => this.emit('updated', context))
  }

  /** Files that are being replaced one by one do not fit for a moment; that is worth a word only when it lasts. */
  #failed(error: SpiffeError, patienceMs: number): void {
    const { at, reported } = this.#failure ?? { at: Date.now(), reported: false }
    const lasting = Date.now() - at >= patienceMs
    this.#failure = { error, at, reported: reported || lasting }
    if (lasting && !reported && this.#context) callOut(() => this.emit('warning', error))
  }
}
