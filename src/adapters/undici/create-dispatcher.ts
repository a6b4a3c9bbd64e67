import type { Duplex } from 'node:stream'
import { Agent, Dispatcher } from 'undici'
import { ClosedError } from '../../errors/index.js'
import { expectMs, longestTimerMs } from '../../flow/index.js'
import { createTlsOptionsForClient, onRecheck, recheckPeer, withAuthorizer } from '../../tls/index.js'
import type {
  Authorizer,
  ClientTlsOptions,
  IdentitySource,
  SpiffeClientTlsOptions,
  WithdrawnTrustOptions,
} from '../../tls/index.js'
import { provingConnector } from './connector.js'

export type DispatcherOptions = ClientTlsOptions &
  WithdrawnTrustOptions & {
    /** Options of undici's `Agent`, without those that would make connections in another way. */
    agentOptions?:
      Omit<Agent.Options, 'connect' | 'factory' | 'interceptors' | 'socketPath' | 'tls' | 'connectTimeout'> | undefined
    /** Longest wait for a connection, the proof included, in milliseconds. Default 10 000. */
    connectTimeoutMs?: number | undefined
  }

/**
 * Makes an undici dispatcher that presents the newest SVID and proves each server's SPIFFE ID. It serves undici's own
 * functions, `setGlobalDispatcher`, and the global `fetch` as its option `dispatcher`.
 *
 * An `http:` origin is refused with `ERR_PLAINTEXT_REFUSED`, also when a redirect leads there. When the SVID rotates, new
 * requests get new connections and the old ones close as soon as their requests have finished. `close()` and
 * `destroy()` let go of the source, once the last connection is closed.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID`, `ERR_SPIFFE_ID_INVALID` or
 * `ERR_INVALID_ARGUMENT`.
 */
export function createDispatcher(source: IdentitySource, options: DispatcherOptions): SpiffeDispatcher {
  return new ProvingDispatcher(source, options) as unknown as SpiffeDispatcher
}

/** What the global `fetch` takes as `dispatcher`, in the words of the installed `@types/node`. */
type FetchDispatcher = RequestInit extends { dispatcher?: infer D } ? NonNullable<D> : unknown

/** An undici dispatcher that the types of the global `fetch` take too, whichever undici `@types/node` describes. */
export type SpiffeDispatcher = Dispatcher & FetchDispatcher

class ProvingDispatcher extends Dispatcher {
  readonly #source: IdentitySource
  readonly #options: DispatcherOptions & { authorize?: Authorizer | undefined }
  readonly #connectTimeoutMs: number
  readonly #tls: SpiffeClientTlsOptions
  readonly #open = new Set<Duplex>()
  /** The ends of agents of earlier SVIDs, which come when their requests have finished. */
  readonly #retiring = new Set<Promise<void>>()
  readonly #stop: (() => void) | undefined
  #agent: Agent
  #svid: unknown
  #ended = false
  #destroyedBy: Error | undefined

  constructor(source: IdentitySource, options: DispatcherOptions) {
    super()
    this.#source = source
    this.#options = withAuthorizer(options)
    this.#connectTimeoutMs = expectMs('connectTimeoutMs', options.connectTimeoutMs ?? 10_000, 1)
    this.#tls = createTlsOptionsForClient(source, this.#options)
    this.#svid = this.#currentSvid()
    this.#agent = this.#newAgent()
    this.#stop = source.onUpdate?.(() => this.#update())
    onRecheck(this, () => this.#recheck())
  }

  get closed(): boolean {
    return this.#agent.closed
  }

  get destroyed(): boolean {
    return this.#agent.destroyed
  }

  override dispatch(options: Agent.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#retireIfRotated()
    return this.#agent.dispatch(options, handler)
  }

  override close(): Promise<void>
  override close(callback: () => void): void
  override close(callback?: () => void): Promise<void> | undefined {
    return this.#end(() => this.#agent.close(), callback)
  }

  override destroy(error?: Error | null): Promise<void>
  override destroy(callback: () => void): void
  override destroy(error: Error | null, callback: () => void): void
  override destroy(a?: Error | null | (() => void), b?: () => void): Promise<void> | undefined {
    const [error, callback] = typeof a === 'function' ? [null, a] : [a ?? null, b]
    const end = async () => {
      await this.#agent.destroy(error)
      // An agent that is closing has let go of its connections and can no longer end them.
      this.#destroyedBy = error ?? new ClosedError('the dispatcher')
      for (const socket of this.#open) socket.destroy(this.#destroyedBy)
    }
    return this.#end(end, callback)
  }

  #end(end: () => Promise<void>, callback?: () => void): Promise<void> | undefined {
    this.#ended = true
    const ended = Promise.all([end(), ...this.#retiring]).then(() => this.#letGo())
    if (!callback) return ended
    ended.then(callback, callback)
    return undefined
  }

  /** Requests in progress are to end with the trust in their server until the last of them has finished. */
  #letGo(): void {
    if (this.#agent.destroyed && this.#retiring.size === 0 && this.#open.size === 0) this.#stop?.()
  }

  #update(): void {
    this.#retireIfRotated()
    if (this.#options.onTrustWithdrawn !== 'keep') this.#recheck()
  }

  #recheck(): void {
    if (!this.#options.authorize) return
    for (const socket of this.#open) {
      const refusal = recheckPeer(socket, this.#source, this.#options.authorize)
      if (refusal) socket.destroy(refusal)
    }
  }

  #retireIfRotated(): void {
    const svid = this.#currentSvid()
    if (svid === this.#svid || this.#ended) return
    this.#svid = svid
    const old = this.#agent
    this.#agent = this.#newAgent()
    const end = old
      .close()
      .catch(() => undefined)
      .finally(() => this.#retiring.delete(end))
    this.#retiring.add(end)
  }

  #newAgent(): Agent {
    const { agentOptions } = this.#options
    const connect = provingConnector(this.#tls, {
      allowH2: agentOptions?.allowH2 === true,
      connectTimeoutMs: Math.min(this.#connectTimeoutMs, longestTimerMs),
      addresses: addressOptions(agentOptions),
      expectsSvid: this.#options.authorize !== undefined,
      onConnected: (socket) => {
        if (this.#destroyedBy) socket.destroy(this.#destroyedBy)
        this.#open.add(socket)
        socket.once('close', () => {
          this.#open.delete(socket)
          this.#letGo()
        })
      },
    })
    const agent = new Agent({ ...withoutOtherWays(agentOptions), connect })
    agent
      .on('connect', (origin, targets) => this.emit('connect', origin, [this, ...targets]))
      .on('disconnect', (origin, targets, error) => this.emit('disconnect', origin, [this, ...targets], error))
      .on('connectionError', (origin, targets, error) =>
        this.emit('connectionError', origin, [this, ...targets], error),
      )
      .on('drain', (origin) => this.emit('drain', origin))
    return agent
  }

  #currentSvid(): unknown {
    try {
      return this.#source.getX509Svid()
    } catch {
      return undefined
    }
  }
}

/** Callers without types could bring a factory or a connector of their own, and with it connections without proof. */
function withoutOtherWays(options: Agent.Options = {}): Agent.Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !otherWays.has(name)))
}

const otherWays = new Set(['connect', 'factory', 'interceptors', 'socketPath', 'tls', 'connectTimeout'])

/** What undici would hand to a connector of its own. */
function addressOptions({ autoSelectFamily, autoSelectFamilyAttemptTimeout: ms }: Agent.Options = {}) {
  if (typeof autoSelectFamily !== 'boolean') return {}
  return { autoSelectFamily, ...(ms === undefined ? {} : { autoSelectFamilyAttemptTimeout: ms }) }
}
