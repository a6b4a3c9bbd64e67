/**
 * Warnings of a time in which nobody could listen: whoever awaits `open()` has the source only after it. They wait for
 * `release()`, unless somebody listens already.
 */
export class EarlyWarnings {
  readonly #tell: (message: string) => void
  readonly #isHeard: () => boolean
  #held: string[] | undefined = []

  constructor(tell: (message: string) => void, isHeard: () => boolean) {
    this.#tell = tell
    this.#isHeard = isHeard
  }

  tell(message: string): void {
    if (this.#held && !this.#isHeard()) this.#held.push(message)
    else this.#tell(message)
  }

  /** From the next turn on everything is told: until then the caller has had the time to listen. */
  release(): void {
    setImmediate(() => {
      const held = this.#held ?? []
      this.#held = undefined
      for (const message of held) this.#tell(message)
    })
  }
}
