/**
 * Warnings of a time in which nobody could listen: whoever awaits `open()` has the source only after it. They wait for
 * `release()`, unless somebody listens already; equal ones are one, so that a long wait does not pile them up.
 */
export class EarlyWarnings {
  readonly #tell: (message: string) => void
  readonly #isHeard: () => boolean
  #held: Set<string> | undefined = new Set()

  constructor(tell: (message: string) => void, isHeard: () => boolean) {
    this.#tell = tell
    this.#isHeard = isHeard
  }

  tell(message: string): void {
    if (this.#held && !this.#isHeard()) this.#held.add(message)
    else this.#tell(message)
  }

  /** From the next turn on everything is told: until then the caller has had the time to listen. */
  release(): void {
    setImmediate(() => {
      const held = this.#held ?? new Set<string>()
      this.#held = undefined
      for (const message of held) this.#tell(message)
    })
  }
}
