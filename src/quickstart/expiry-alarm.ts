import { clearQuietTimer, longestTimerMs } from '../flow/index.js'

const expiringAfter = 0.8

/** When something begins and ends to be valid. */
export interface Validity {
  readonly notBefore: Date
  readonly expiresAt: Date
}

/** Rings when four fifths of a validity are over, and again at its end. Its timer never holds the process. */
export class ExpiryAlarm<T extends Validity> {
  readonly #onExpiring: (what: T) => void
  readonly #onExpired: (what: T) => void
  #timer: NodeJS.Timeout | undefined

  constructor(on: { expiring: (what: T) => void; expired: (what: T) => void }) {
    this.#onExpiring = on.expiring
    this.#onExpired = on.expired
  }

  /** Watches this from now on, and nothing else. */
  set(what: T): void {
    const [from, to] = [what.notBefore.getTime(), what.expiresAt.getTime()]
    // Valid up to and including the last millisecond.
    const expired = () => this.#at(to + 1, () => this.#onExpired(what))
    this.#at(from + (to - from) * expiringAfter, () => {
      expired()
      if (Date.now() <= to) this.#onExpiring(what)
    })
  }

  stop(): void {
    clearQuietTimer(this.#timer)
  }

  #at(time: number, ring: () => void): void {
    clearQuietTimer(this.#timer)
    const waitMs = time - Date.now()
    const again = () => this.#at(time, ring)
    // Longer than a timer can run: look again then.
    this.#timer = waitMs > longestTimerMs ? setTimeout(again, longestTimerMs) : setTimeout(ring, Math.max(0, waitMs))
    this.#timer.unref()
  }
}
