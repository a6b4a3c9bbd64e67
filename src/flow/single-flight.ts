interface Flight<V> {
  readonly controller: AbortController
  readonly result: Promise<V>
  waiting: number
}

/**
 * Joins callers that want the same thing at the same time into one piece of work. One caller's abort ends only that
 * caller's wait; the work is aborted when nobody waits for it any more.
 */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Flight<V>>()

  /**
   * Joins the work under way for `key`, or starts it.
   * @param work - Gets a signal that aborts when the last caller has left.
   */
  run(key: K, work: (signal: AbortSignal) => Promise<V>, signal?: AbortSignal): Promise<V> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const flight = this.#flights.get(key) ?? this.#start(key, work)
      flight.waiting++
      const onAbort = () => {
        // The signal's reason is passed on unchanged.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal?.reason)
        if (--flight.waiting > 0) return
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
        flight.controller.abort(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      const left = () => signal?.removeEventListener('abort', onAbort)
      flight.result
        .then(resolve, reject)
        .finally(left)
        .catch(() => undefined)
    })
  }

  #start(key: K, work: (signal: AbortSignal) => Promise<V>): Flight<V> {
    const controller = new AbortController()
    const result = work(controller.signal).finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    })
    const flight: Flight<V> = { controller, result, waiting: 0 }
    this.#flights.set(key, flight)
    return flight
  }
}
