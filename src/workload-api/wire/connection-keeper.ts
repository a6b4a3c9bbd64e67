import { SingleFlight } from '../../flow/index.js'
import type { Endpoint } from '../endpoint.js'
import { Connection } from './connection.js'
import type { ConnectionOptions } from './connection.js'

/** The one connection that all calls of a client share; made when first needed, and anew when it broke. */
export class ConnectionKeeper {
  readonly #endpoint: Endpoint
  readonly #options: ConnectionOptions
  readonly #opening = new SingleFlight<'one', Connection>()
  readonly #all = new Set<Connection>()
  #current: Connection | undefined

  constructor(endpoint: Endpoint, options: ConnectionOptions) {
    this.#endpoint = endpoint
    this.#options = options
  }

  /** A connection that stands now. Rejects with a `WorkloadApiError`, or the signal's reason. */
  get(signal: AbortSignal): Promise<Connection> {
    if (this.#current?.usable) return Promise.resolve(this.#current)
    return this.#opening.run('one', (shared) => this.#open(shared), signal)
  }

  /** Lets go of a connection that may be dead without knowing it. Its calls go on until they end. */
  renew(connection: Connection): void {
    if (this.#current === connection) this.#current = undefined
    connection.retire()
  }

  close(): void {
    for (const connection of this.#all) connection.close()
    this.#all.clear()
  }

  async #open(signal: AbortSignal): Promise<Connection> {
    this.#current?.retire()
    this.#current = undefined
    const connection = await Connection.open(this.#endpoint, this.#options, signal)
    if (signal.aborted) {
      // In the very moment in which it stood: nobody would close it.
      connection.close()
      signal.throwIfAborted()
    }
    this.#all.add(connection)
    connection.onClose = () => this.#all.delete(connection)
    this.#current = connection
    return connection
  }
}
