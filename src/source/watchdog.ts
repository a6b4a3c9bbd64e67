import { clearQuietTimer, longestTimerMs } from '../flow/index.js'
import type { X509Svid } from '../svid/index.js'

/** Agents renew at half of an SVID's lifetime; when this part of it is gone, something is wrong with the stream. */
const worryAfter = 0.7
const shortestMs = 1_000
/** After the expiry there is nothing left to hurry for. */
const expiredMs = 10_000

/**
 * Time until the stream of an SVID that was not renewed is to be opened anew: first when most of the lifetime is gone,
 * then each time a third of what remains has passed.
 * @param last - When it was opened anew last for this SVID, if it was.
 */
export function nextCheckMs(notBeforeMs: number, notAfterMs: number, nowMs: number, last: boolean): number {
  const remaining = notAfterMs - nowMs
  if (remaining <= 0) return expiredMs
  const wait = last ? remaining / 3 : notBeforeMs + (notAfterMs - notBeforeMs) * worryAfter - nowMs
  return Math.max(shortestMs, wait)
}

/** Calls back whenever an SVID should have been renewed and was not. Its timer never holds the process. */
export class ExpiryWatchdog {
  readonly #now: () => Date
  readonly #onOverdue: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(now: () => Date, onOverdue: () => void) {
    this.#now = now
    this.#onOverdue = onOverdue
  }

  /** Watches this SVID from now on, and no other. */
  watch(svid: X509Svid): void {
    this.#arm(svid, false)
  }

  stop(): void {
    clearQuietTimer(this.#timer)
  }

  #arm(svid: X509Svid, again: boolean): void {
    clearQuietTimer(this.#timer)
    const waitMs = nextCheckMs(svid.notBefore.getTime(), svid.expiresAt.getTime(), this.#now().getTime(), again)
    // Longer than a timer can run: look again then.
    const early = waitMs > longestTimerMs
    this.#timer = setTimeout(
      () => {
        this.#arm(svid, !early)
        if (!early) this.#onOverdue()
      },
      early ? longestTimerMs : waitMs,
    )
    this.#timer.unref()
  }
}
