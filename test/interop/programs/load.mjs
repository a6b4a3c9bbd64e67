// Calls without a pause worth the name, in every way there is, until told to stop.
import { setTimeout as delay } from 'node:timers/promises'
import { describe } from './channel.mjs'

const pauseMs = 3

/** What each worker does over and over. The slow one has a call in flight at nearly every moment. */
const ways = {
  'https, kept alive': { via: 'https' },
  'https, fresh': { via: 'https', fresh: true },
  'https, slow': { via: 'https', path: 'slow' },
  'fetch, kept alive': { via: 'fetch' },
  'undici, fresh': { via: 'undici', fresh: true },
}

export class Load {
  #on = true
  #workers
  #calls = Object.fromEntries(Object.keys(ways).map((name) => [name, 0]))
  #failures = []
  #reused = 0
  /** Serial numbers that the server showed on fresh connections, and that it saw of us. */
  #servers = new Set()
  #callers = new Set()

  constructor(caller, { url, authorize }) {
    this.#workers = Object.entries(ways).map(([name, { path = '', ...way }]) =>
      this.#work(name, () => caller.call({ ...way, url: url + path, authorize })),
    )
  }

  get result() {
    return {
      calls: this.#calls,
      reused: this.#reused,
      failures: this.#failures,
      servers: [...this.#servers],
      callers: [...this.#callers],
    }
  }

  async stop() {
    this.#on = false
    await Promise.all(this.#workers)
    return this.result
  }

  async #work(name, call) {
    while (this.#on && this.#failures.length < 20) {
      try {
        const { status, body, serial, reused } = await call()
        if (status !== 200) throw new Error(`status ${status}`)
        this.#calls[name]++
        this.#callers.add(body.callerSerial)
        if (reused) this.#reused++
        else if (serial) this.#servers.add(serial)
      } catch (error) {
        this.#failures.push({ way: name, at: Date.now(), ...describe(error) })
      }
      await delay(pauseMs)
    }
  }
}
