import { setMaxListeners } from 'node:events'
import type { ClosedError } from '../errors/index.js'
import { SpiffeError } from '../errors/index.js'
import { holding, linkAbort, SingleFlight } from '../flow/index.js'
import type { SpiffeId } from '../spiffe-id/index.js'
import type { JwtSvid } from '../svid/index.js'

/** Nobody gets a token with less left than this, unless the agent has no better one: it still has to travel. */
const marginMs = 5_000
/** After a renewal that failed, at most this long until the next one is tried. */
const longestRetryMs = 10_000
const shortestRetryMs = 500

export interface JwtSvidRequest {
  readonly audiences: readonly string[]
  readonly spiffeId: SpiffeId | undefined
}

export interface JwtSvidCacheSettings {
  /** Asks the agent, and does not hold the process. */
  readonly fetch: (request: JwtSvidRequest, signal: AbortSignal) => Promise<JwtSvid>
  readonly now: () => Date
  readonly maxEntries: number
  /** Whether an error of the agent takes away what it had given. */
  readonly isWithdrawal: (error: unknown) => boolean
  /** A renewal that nobody waits for has failed; what is cached is used on. */
  readonly onRenewalFailed: (request: JwtSvidRequest, error: SpiffeError) => void
}

interface Entry {
  readonly svid: JwtSvid
  /** From here on a new one is asked for, while this one is still given out. */
  renewAtMs: number
  /** From here on this one is given out only when there is no other. */
  readonly lastMs: number
}

/**
 * The JWT-SVIDs in use, by subject and set of audiences. Callers that want the same one at the same time share one call.
 * At half of what was left of its life when it came, the next caller has it renewed in the background.
 */
export class JwtSvidCache {
  readonly #settings: JwtSvidCacheSettings
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>()
  readonly #flights = new SingleFlight<string, JwtSvid>()
  readonly #closing = new AbortController()
  /** What was asked for before the last `clear()` is not kept, and nobody joins it. */
  #era = 0

  constructor(settings: JwtSvidCacheSettings) {
    this.#settings = settings
    // Each call listens while it lasts; Node.js 20 takes more than ten for a leak.
    setMaxListeners(0, this.#closing.signal)
  }

  get size(): number {
    return this.#entries.size
  }

  async get(request: JwtSvidRequest, signal?: AbortSignal): Promise<JwtSvid> {
    signal?.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    const key = keyOf(request)
    const entry = this.#entries.get(key)
    const nowMs = this.#settings.now().getTime()
    if (entry && nowMs < entry.lastMs) {
      this.#touch(key, entry)
      if (nowMs >= entry.renewAtMs) this.#renew(key, request, entry)
      return entry.svid
    }
    try {
      // Whoever waits holds the process, also when the call was made by somebody who did not.
      return await holding(this.#fetch(key, request, signal))
    } catch (error) {
      // An agent that is away takes nothing back: what has not expired is better than nothing.
      const kept = entry && this.#entries.get(key) === entry && !entry.svid.isExpired(this.#settings.now())
      if (kept && error instanceof SpiffeError && !signal?.aborted) return entry.svid
      throw error
    }
  }

  /** What is asked for next is fetched anew. */
  clear(): void {
    this.#era++
    this.#entries.clear()
  }

  close(error: ClosedError): void {
    this.#closing.abort(error)
    this.clear()
  }

  #renew(key: string, request: JwtSvidRequest, entry: Entry): void {
    const nowMs = this.#settings.now().getTime()
    // Nobody asks again while this call is under way, nor too soon after it failed.
    entry.renewAtMs = nowMs + Math.min(longestRetryMs, Math.max(shortestRetryMs, (entry.lastMs - nowMs) / 4))
    this.#fetch(key, request).catch((error: unknown) => {
      if (error instanceof SpiffeError && !this.#closing.signal.aborted) this.#settings.onRenewalFailed(request, error)
    })
  }

  #fetch(key: string, request: JwtSvidRequest, signal?: AbortSignal): Promise<JwtSvid> {
    const era = this.#era
    const work = async (left: AbortSignal) => {
      const link = linkAbort([left, this.#closing.signal])
      try {
        const svid = await this.#settings.fetch(request, link.signal)
        if (era === this.#era) this.#keep(key, svid)
        return svid
      } catch (error) {
        if (era === this.#era && this.#settings.isWithdrawal(error)) this.#entries.delete(key)
        throw error
      } finally {
        link.release()
      }
    }
    return this.#flights.run(`${era} ${key}`, work, signal)
  }

  #keep(key: string, svid: JwtSvid): void {
    if (this.#closing.signal.aborted) return
    const nowMs = this.#settings.now().getTime()
    const leftMs = svid.expiresAt.getTime() - nowMs
    this.#touch(key, {
      svid,
      renewAtMs: nowMs + leftMs / 2,
      lastMs: nowMs + leftMs - Math.min(marginMs, leftMs / 4),
    })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#settings.maxEntries) break
      this.#entries.delete(oldest)
    }
  }

  #touch(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#entries.set(key, entry)
  }
}

/** The order of the audiences makes no difference. */
function keyOf({ audiences, spiffeId }: JwtSvidRequest): string {
  return JSON.stringify([spiffeId?.toString() ?? '', [...audiences].sort()])
}
