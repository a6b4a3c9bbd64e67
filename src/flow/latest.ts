import { holding } from './hold.js'

interface Waiter {
  wake: () => void
  fail: (reason: unknown) => void
}

/** Ends one iteration early with the signal's reason; the value and the other iterations go on. */
export interface IterateOptions {
  signal?: AbortSignal | undefined
}

/**
 * A value that is replaced as a whole, and any number of readers that each want the newest one.
 * A slow reader skips what it missed; a new reader starts with the current value.
 * A reader that waits holds the process.
 */
export class Latest<T> {
  #value: { readonly value: T } | undefined
  #version = 0
  #ended: { readonly error?: unknown } | undefined
  readonly #waiters = new Set<Waiter>()

  /** Replaces the value and wakes every reader that waits. Does nothing once ended. */
  set(value: T): void {
    if (this.#ended) return
    this.#value = { value }
    this.#version++
    this.#wakeAll()
  }

  /**
   * Finishes every iteration: cleanly, or by throwing `error` in each reader. A value that a reader has not seen yet
   * comes first. Only the first call counts.
   */
  end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = error === undefined ? {} : { error }
    this.#wakeAll()
  }

  /** Starts one reader of its own. Leaving the loop, or aborting `signal`, ends only that reader. */
  iterate(options?: IterateOptions): AsyncIterableIterator<T, undefined> {
    const signal = options?.signal
    const mine = new Set<Waiter>()
    let seen = 0
    let left = false
    const next = async (): Promise<IteratorResult<T, undefined>> => {
      for (;;) {
        signal?.throwIfAborted()
        if (left) break
        // Read after the wake-up, not handed over with it: meanwhile a newer value may have come.
        if (this.#value && this.#version !== seen) {
          seen = this.#version
          return { done: false, value: this.#value.value }
        }
        if (this.#ended) {
          left = true
          if ('error' in this.#ended) throw this.#ended.error
          break
        }
        await holding(this.#change(signal, mine))
      }
      return { done: true, value: undefined }
    }
    return {
      next,
      return: () => {
        left = true
        for (const waiter of mine) waiter.wake()
        return Promise.resolve({ done: true, value: undefined })
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  #change(signal: AbortSignal | undefined, mine: Set<Waiter>): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        this.#waiters.delete(waiter)
        mine.delete(waiter)
        signal?.removeEventListener('abort', onAbort)
      }
      const waiter: Waiter = {
        wake: () => {
          settle()
          resolve()
        },
        fail: (reason) => {
          settle()
          // The signal's reason is passed on unchanged.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(reason)
        },
      }
      const onAbort = () => {
        waiter.fail(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiters.add(waiter)
      mine.add(waiter)
    })
  }

  #wakeAll(): void {
    for (const waiter of [...this.#waiters]) waiter.wake()
  }
}
