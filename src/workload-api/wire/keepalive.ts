import type { ClientHttp2Session } from 'node:http2'
import { afterSilence, clearQuietTimer, longestTimerMs } from '../../flow/index.js'

export interface KeepaliveOptions {
  /** Silence after which a ping asks whether the other side is alive, in milliseconds. */
  keepaliveMs: number
  /** How long its answer may take, in milliseconds. */
  keepaliveTimeoutMs: number
}

/** Finds out whether the other side of a silent connection still lives, and ends the session when it does not. */
export class Keepalive {
  readonly #session: ClientHttp2Session
  readonly #options: KeepaliveOptions
  readonly #inUse: () => boolean
  readonly #silence: NodeJS.Timeout | undefined
  #stopWaiting: (() => void) | undefined

  /** @param inUse - Whether a call is under way: gRPC servers do not like pings without one. */
  constructor(session: ClientHttp2Session, options: KeepaliveOptions, inUse: () => boolean) {
    this.#session = session
    this.#options = options
    this.#inUse = inUse
    if (options.keepaliveMs <= longestTimerMs)
      this.#silence = setTimeout(() => this.#ask(), options.keepaliveMs).unref()
  }

  /** Something came from the other side. */
  heard(): void {
    this.#silence?.refresh()
  }

  stop(): void {
    clearQuietTimer(this.#silence)
    this.#stopWaiting?.()
  }

  #ask(): void {
    if (this.#session.destroyed) return
    this.#silence?.refresh()
    if (!this.#inUse() || this.#stopWaiting) return
    this.#stopWaiting = afterSilence(this.#options.keepaliveTimeoutMs, () => this.#session.destroy())
    this.#session.ping(() => {
      this.#stopWaiting?.()
      this.#stopWaiting = undefined
    })
  }
}
