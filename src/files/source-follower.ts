import type { X509Bundle, X509BundleSource } from '../bundle/index.js'
import { SpiffeError } from '../errors/index.js'
import { callOut, clearQuietTimer, doublingDelay, expectMs, holding, longestTimerMs } from '../flow/index.js'
import type { X509Svid, X509SvidSource } from '../svid/index.js'
import { JwtFiles } from './jwt-files.js'
import type { JwtFileSource, JwtFilesOptions } from './jwt-files.js'
import type { SvidFileContent } from './plan-files.js'

/** A source of the newest identity, as much of it as files need. */
export type FollowableSource = X509SvidSource &
  X509BundleSource & {
    /** Calls back after each change; without it only the identity of this moment is written. */
    onUpdate?(listener: () => void): () => void
    /** The bundles of other trust domains are written too, where the source can list them. */
    readonly context?: { readonly bundles: Iterable<X509Bundle> } | undefined
  }

export interface FollowOptions {
  /** Called after each successful write. */
  onWritten?: (() => void) | undefined
  /**
   * Called when a write, or a hook after one, has failed; not again for the same failure until a write succeeds. The
   * identity in memory is not touched by it.
   */
  onFailed?: ((error: unknown) => void) | undefined
  /** Wait before a failed write is tried again, in milliseconds; it doubles up to a minute. Default 5 000. */
  retryMs?: number | undefined
  /** Where JWT-SVIDs and JWT bundles come from, for a writer that is to write some. */
  jwt?: JwtFileSource | undefined
}

/** Passes every new identity of a source on to `write`. */
export class SourceFollower {
  readonly #source: FollowableSource
  readonly #write: (content: SvidFileContent) => Promise<void>
  readonly #options: FollowOptions
  readonly #retryMs: number
  readonly #jwt: JwtFiles | undefined
  #jwtStarted: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined
  #retry: NodeJS.Timeout | undefined
  #stopped = false
  #failures = 0
  #reported: string | undefined

  constructor(
    source: FollowableSource,
    write: (content: SvidFileContent) => Promise<void>,
    options: FollowOptions = {},
    jwt: JwtFilesOptions = {},
  ) {
    this.#source = source
    this.#write = write
    this.#options = options
    this.#retryMs = expectMs('retryMs', options.retryMs ?? 5_000, 1)
    if (!options.jwt) return
    this.#jwt = new JwtFiles(jwt, options.jwt, {
      id: () => source.getX509Svid().id,
      changed: () => void this.#writeNewest(),
      failed: (error) => {
        if (options.onFailed) callOut(() => options.onFailed?.(error))
      },
      retryMs: this.#retryMs,
    })
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.#source.onUpdate?.(() => void this.#writeNewest())
    await this.#writeNewest()
    // Whoever has no SVID yet does not wait for tokens either.
    if (this.#jwtStarted) await holding(this.#jwtStarted)
  }

  stop(): void {
    this.#stopped = true
    clearQuietTimer(this.#retry)
    this.#unsubscribe?.()
    this.#jwt?.stop()
  }

  async #writeNewest(): Promise<void> {
    clearQuietTimer(this.#retry)
    let content
    try {
      content = this.#newest()
      if (!content) return
      await this.#write(content)
    } catch (error) {
      this.#failed(error)
      return
    }
    this.#failures = 0
    this.#reported = undefined
    // The X.509 files do not wait for the agent's JWTs.
    this.#jwtStarted ??= this.#jwt?.start(content.svid.id.trustDomain).then(() => this.#writeNewest())
    const { onWritten } = this.#options
    if (!this.#stopped && onWritten) callOut(onWritten)
  }

  #failed(error: unknown): void {
    if (this.#stopped) return
    clearQuietTimer(this.#retry)
    const { onFailed } = this.#options
    const range = { minMs: this.#retryMs, maxMs: Math.max(this.#retryMs, 60_000) }
    const delayMs = doublingDelay(this.#failures++, range)
    this.#retry = setTimeout(() => void this.#writeNewest(), Math.min(delayMs, longestTimerMs))
    this.#retry.unref()
    // The same failure again is no news.
    const message = error instanceof Error ? error.message : String(error)
    if (onFailed && message !== this.#reported) callOut(() => onFailed(error))
    this.#reported = message
  }

  #newest(): SvidFileContent | undefined {
    const svid = this.#usableSvid()
    if (!svid) return undefined
    const bundle = this.#source.getX509Bundle(svid.id.trustDomain)
    if (bundle) {
      const [extra, jwtBundles] = [this.#jwt?.tokens, this.#jwt?.bundlesFor(svid.id.trustDomain)]
      return { svid, bundle, federated: this.#source.context?.bundles, extra, jwtBundles }
    }
    throw new SpiffeError('ERR_BUNDLE_NOT_FOUND', `the source has no bundle for ${svid.id.trustDomain.name}`)
  }

  #usableSvid(): X509Svid | undefined {
    try {
      return this.#source.getX509Svid()
    } catch {
      return undefined // withdrawn or expired: whoever watches the source hears of it there
    }
  }
}
