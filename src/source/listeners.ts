import { callOut } from '../flow/index.js'

/** Functions to call when something has changed. */
export class Listeners {
  readonly #listeners = new Set<() => void>()

  /** Calls the listener each time until the returned function is called. */
  add(listener: () => void): () => void {
    // Wrapped, so that one function can listen twice and leave once.
    const call = () => {
      listener()
    }
    this.#listeners.add(call)
    return () => {
      this.#listeners.delete(call)
    }
  }

  call(): void {
    for (const listener of [...this.#listeners]) callOut(listener)
  }

  clear(): void {
    this.#listeners.clear()
  }
}
