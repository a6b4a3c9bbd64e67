import type { JwtBundle, JwtBundleSource } from '../bundle/index.js'
import { SpiffeError } from '../errors/index.js'
import { doublingDelay, linkAbort, sleep } from '../flow/index.js'
import type { SpiffeId, TrustDomain } from '../spiffe-id/index.js'
import type { JwtSvidSource } from '../svid/index.js'
import type { ExtraFile } from './plan-files.js'

/** Which JWT-SVIDs and JWT bundles to keep beside the X.509 identity. */
export interface JwtFilesOptions {
  /** A file for each token: the bare text, renewed at half of what is left of its life. It has the mode of the key. */
  svids?: readonly JwtSvidFile[] | undefined
  /**
   * Name of a file with the JWT authorities of the own trust domain, a JWK Set. Those of other trust domains become
   * `federated/<trust domain>.json`.
   */
  bundle?: string | undefined
}

export interface JwtSvidFile {
  /** File name inside the directory, such as `vault.jwt`. */
  name: string
  audience: string | readonly string[]
}

/** Where JWT-SVIDs and JWT bundles come from; a `JwtSource` is one. */
export type JwtFileSource = JwtSvidSource &
  JwtBundleSource & {
    /** Calls back after each change of the bundles. */
    onUpdate?(listener: () => void): () => void
    /** The bundles of other trust domains are written too, where the source can list them. */
    readonly bundles?: Iterable<JwtBundle> | undefined
  }

export interface JwtFilesHandlers {
  /** Whose tokens. */
  readonly id: () => SpiffeId
  /** There is something else to write than when `start()` resolved. */
  readonly changed: () => void
  readonly failed: (error: unknown) => void
  /** Wait before a token that was not given is asked for again, in milliseconds; it doubles up to a minute. */
  readonly retryMs: number
}

/** How long one attempt may take; the X.509 files do not wait for it. */
const attemptMs = 10_000
const shortestMs = 1_000

/** The newest tokens and keys for files. Its timers never hold the process. */
export class JwtFiles {
  readonly #wanted: JwtFilesOptions
  readonly #source: JwtFileSource
  readonly #handlers: JwtFilesHandlers
  readonly #tokens = new Map<string, string>()
  readonly #stopping = new AbortController()
  #unsubscribe: (() => void) | undefined
  #attempted: Promise<unknown> | undefined
  #changed: () => void = () => undefined

  constructor(wanted: JwtFilesOptions, source: JwtFileSource, handlers: JwtFilesHandlers) {
    this.#wanted = wanted
    this.#source = source
    this.#handlers = handlers
  }

  /** Begins to ask; resolves when everything has been asked for once, with whatever outcome. */
  async start(own: TrustDomain): Promise<void> {
    this.#attempted ??= this.#begin(own)
    await this.#attempted
    this.#changed = this.#handlers.changed
  }

  stop(): void {
    this.#unsubscribe?.()
    this.#stopping.abort()
  }

  /** The tokens that there are now, as files. */
  get tokens(): ExtraFile[] {
    return [...this.#tokens].map(([name, content]) => ({ name, content, secret: true }))
  }

  /** The bundles that there are now: those that the source lists, else the one of this trust domain. */
  bundlesFor(own: TrustDomain): Iterable<JwtBundle> {
    const bundle = this.#wanted.bundle === undefined ? undefined : this.#source.getJwtBundle(own)
    return bundle ? (this.#source.bundles ?? [bundle]) : []
  }

  #begin(own: TrustDomain): Promise<unknown> {
    const { svids = [], bundle } = this.#wanted
    const first = svids.map((file) => {
      return new Promise<void>((attempted) => void this.#keepFresh(file, attempted).catch(() => undefined))
    })
    if (bundle !== undefined) first.push(this.#followBundles(own))
    return Promise.all(first)
  }

  /** Until the first bundles, or the end of the patience with them. */
  #followBundles(own: TrustDomain): Promise<void> {
    return new Promise((resolve) => {
      const patience = sleep(attemptMs, this.#stopping.signal)
      patience.then(resolve, resolve)
      this.#unsubscribe = this.#source.onUpdate?.(() => {
        resolve()
        this.#changed()
      })
      if (!this.#unsubscribe || this.#source.getJwtBundle(own)) resolve()
    })
  }

  async #keepFresh(file: JwtSvidFile, attempted: () => void): Promise<void> {
    const { signal } = this.#stopping
    let failures = 0
    let reported: string | undefined
    for (;;) {
      let waitMs
      try {
        waitMs = (await this.#fetch(file)) / 2
        failures = 0
        reported = undefined
        this.#changed()
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause)
        // The same failure again is no news.
        if (why !== reported && !signal.aborted) this.#handlers.failed(notGiven(file, why, cause))
        reported = why
        const { retryMs } = this.#handlers
        waitMs = doublingDelay(failures++, { minMs: retryMs, maxMs: Math.max(retryMs, 60_000) })
      }
      attempted()
      await sleep(Math.max(shortestMs, waitMs), signal)
    }
  }

  /** @returns How long the token is still good for. */
  async #fetch({ name, audience }: JwtSvidFile): Promise<number> {
    const link = linkAbort([this.#stopping.signal, AbortSignal.timeout(attemptMs)])
    try {
      const spiffeId = this.#handlers.id()
      const { token, expiresAt } = await this.#source.getJwtSvid(audience, { spiffeId, signal: link.signal })
      this.#tokens.set(name, token)
      return expiresAt.getTime() - Date.now()
    } finally {
      link.release()
    }
  }
}

function notGiven({ name, audience }: JwtSvidFile, why: string, cause: unknown): SpiffeError {
  const whom = [audience].flat().join(', ')
  return new SpiffeError(
    'ERR_FILE_WRITE_FAILED',
    `${name} is not up to date, for there is no JWT-SVID for ${whom}: ${why}; the other files are`,
    { cause },
  )
}
