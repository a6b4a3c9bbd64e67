import { setMaxListeners } from 'node:events'
import { ClosedError } from '../errors/index.js'
import { callOut, Latest } from '../flow/index.js'
import type { Agent, StreamMethod, UnaryCall } from './agent.js'
import { expectBackoff } from './backoff.js'
import type { BackoffStrategy } from './backoff.js'
import { withDeadline } from './deadline.js'
import type { CallOptions } from './deadline.js'
import type { Decoded } from './decode/x509-context.js'
import type { Dialect } from './dialects/dialect.js'
import { fetchFirst } from './fetch-first.js'
import { Watch } from './watch.js'
import type { WatchEvent, WatchHandlers } from './watch.js'

export interface WatchOptions {
  /** Ends the iteration with the signal's own reason. */
  signal?: AbortSignal | undefined
  /** Called for everything that happens besides values. */
  onEvent?: ((event: WatchEvent) => void) | undefined
  /** How long to wait before the stream is opened again. Default the client's. */
  backoff?: BackoffStrategy | undefined
}

/** One stream of the Workload API: how its messages become values, and when two of them say the same. */
export interface StreamOf<T> {
  readonly method: StreamMethod
  readonly decode: (bytes: Uint8Array, dialect: Dialect) => Decoded<T>
  readonly equals: (a: T, b: T) => boolean
}

/** The ways to make a call, whichever call it is: once, as a watch, as an iteration. They end together. */
export class Calls {
  readonly #agent: Agent
  readonly #backoff: BackoffStrategy
  readonly #closing = new AbortController()
  readonly #watches = new Set<{ end: (error: ClosedError) => void }>()

  constructor(agent: Agent, backoff: BackoffStrategy) {
    this.#agent = agent
    this.#backoff = backoff
    // Each call listens while it lasts; Node.js 20 takes more than ten for a leak.
    setMaxListeners(0, this.#closing.signal)
  }

  unary<T>(options: CallOptions, make: (dialect: Dialect) => UnaryCall<T>): Promise<T> {
    return withDeadline(this.#agent.endpoint, options, this.#closing.signal, (signal) => this.#agent.call(make, signal))
  }

  fetch<T>({ method, decode }: StreamOf<T>, options: CallOptions): Promise<T> {
    return withDeadline(this.#agent.endpoint, options, this.#closing.signal, (signal) =>
      fetchFirst(this.#agent, method, decode, signal),
    )
  }

  follow<T>({ method, decode }: StreamOf<T>, handlers: WatchHandlers<T>, backoff = this.#backoff): Watch<T> {
    this.#closing.signal.throwIfAborted()
    const watch = new Watch({
      agent: this.#agent,
      method,
      decode,
      backoff,
      handlers,
      onClose: () => this.#watches.delete(watch),
    })
    this.#watches.add(watch)
    watch.start()
    return watch
  }

  iterate<T>(stream: StreamOf<T>, options: WatchOptions): AsyncIterableIterator<T, undefined> {
    const { signal, onEvent } = options
    const backoff = options.backoff === undefined ? undefined : expectBackoff(options.backoff)
    signal?.throwIfAborted()
    const latest = new Latest<T>()
    let newest: { value: T } | undefined
    const opened: { watch?: Watch<T> } = {}
    const finish = () => {
      opened.watch?.close()
      signal?.removeEventListener('abort', finish)
    }
    const handlers: WatchHandlers<T> = {
      onValue: (value) => {
        // Equal updates wake nobody.
        if (newest && stream.equals(newest.value, value)) return
        newest = { value }
        latest.set(value)
      },
      onEvent: (event) => {
        if (onEvent) callOut(() => onEvent(event))
      },
      onStop: (error) => {
        latest.end(error)
        finish()
      },
    }
    signal?.addEventListener('abort', finish, { once: true })
    opened.watch = this.follow(stream, handlers, backoff)
    // By whoever heard the first event.
    if (signal?.aborted) finish()
    const reader = latest.iterate({ signal })
    return {
      next: () => reader.next(),
      return: async () => {
        finish()
        await reader.return?.()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  close(): void {
    if (this.#closing.signal.aborted) return
    const error = new ClosedError('the Workload API client')
    this.#closing.abort(error)
    for (const watch of [...this.#watches]) watch.end(error)
    this.#agent.close()
  }
}
