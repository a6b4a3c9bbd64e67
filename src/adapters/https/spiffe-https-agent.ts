import type { ClientRequest } from 'node:http'
import { Agent } from 'node:https'
import type { AgentOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { SecureContextOptions } from 'node:tls'
import { InvalidInputError, UntrustedPeerError } from '../../errors/index.js'
import { createTlsOptionsForClient, onRecheck, recheckPeer, refuseInOurWords, withAuthorizer } from '../../tls/index.js'
import type {
  Authorizer,
  ClientTlsOptions,
  IdentitySource,
  SpiffeClientTlsOptions,
  WithdrawnTrustOptions,
} from '../../tls/index.js'

/** What identity and proof decide, and what Node reads only for contexts that it makes itself. */
type Ours = keyof SpiffeClientTlsOptions | keyof SecureContextOptions

/** Our options, and those of `https.Agent` that do not touch identity. `keepAlive` is `true` by default. */
export type SpiffeHttpsAgentOptions = ClientTlsOptions & WithdrawnTrustOptions & Omit<AgentOptions, Ours>

/**
 * An `https.Agent` that presents the newest SVID and proves each server's SPIFFE ID.
 *
 * When the SVID rotates, idle sockets are closed, requests in flight finish on theirs, and queued requests get a new
 * one. Options of a single request change nothing of TLS but the host name. An agent speaks for one authorizer: make one
 * per kind of server. `destroy()` closes its sockets and lets go of the source, once those have ended that an upgrade or a
 * CONNECT has taken over; they too end when trust in their server is withdrawn.
 */
export class SpiffeHttpsAgent extends Agent {
  readonly #source: IdentitySource
  /** Absent where ordinary web servers are called. */
  readonly #authorizer: Authorizer | undefined
  readonly #tls: SpiffeClientTlsOptions
  readonly #born = new WeakMap<Duplex, object>()
  /** Those as well that an upgrade or a CONNECT has taken over, of which Node's agent knows nothing more. */
  readonly #open = new Set<Duplex>()
  readonly #stop: (() => void) | undefined
  #destroyed = false
  /** Sockets that were born under another generation retire. */
  #generation: object = {}
  #svid: unknown

  /**
   * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or `ERR_SPIFFE_ID_INVALID`.
   */
  constructor(source: IdentitySource, options: SpiffeHttpsAgentOptions) {
    const expected = withAuthorizer(options)
    const tls = createTlsOptionsForClient(source, expected)
    super({ keepAlive: true, ...expected, ...tls })
    this.#source = source
    this.#authorizer = expected.authorize
    this.#tls = tls
    // Node compares it with the scheme of the request and throws an error of its own. Without it the request comes
    // to addRequest, where it is refused with ours.
    Object.assign(this, { protocol: undefined })
    this.prependListener('free', (socket: Duplex) => {
      if (this.#born.get(socket) !== this.#generation) socket.destroy()
    })
    this.#svid = this.#currentSvid()
    this.#stop = source.onUpdate?.(() => this.#update(expected))
    onRecheck(this, () => this.#recheck())
  }

  /** Called by Node for each request. */
  addRequest(request: ClientRequest, options: object): void {
    if (request.protocol !== 'https:') {
      // As Node's own agent does when it gets no connection: the request fails, not the call that made it.
      const failing = request as unknown as { onSocket(socket: null, error: Error): void }
      failing.onSocket(null, plaintextRefused(request))
      return
    }
    this.#retireIfRotated()
    nodeAgent.addRequest.call(this, request, options)
  }

  /** Called by Node when no idle socket fits. */
  override createConnection(options: object, callback?: (error: Error | null, socket: Duplex) => void): Duplex {
    const settle = callback as ((error: Error | null, socket?: Duplex) => void) | undefined
    const keep = (socket: Duplex) => {
      this.#born.set(socket, this.#generation)
      this.#open.add(socket)
      socket.once('close', () => {
        this.#open.delete(socket)
        this.#letGo()
      })
      if (this.#authorizer) refuseInOurWords(socket)
      socket.prependOnceListener('secureConnect', () => destroyIfResumed(socket))
      return socket
    }
    // A tunnel through a proxy arrives by the callback, everything else as the returned value.
    const done = (error: Error | null, socket?: Duplex) => settle?.(error, socket && keep(socket))
    try {
      const socket = nodeAgent.createConnection.call(this, { ...options, ...this.#tls }, done)
      return (socket && keep(socket)) as Duplex
    } catch (error) {
      // The source has no valid SVID. The request fails with that, instead of the call that made it.
      if (!settle) throw error
      settle(error instanceof Error ? error : new Error(String(error)))
      return undefined as unknown as Duplex
    }
  }

  override destroy(): void {
    super.destroy()
    this.#destroyed = true
    this.#letGo()
  }

  #letGo(): void {
    if (this.#destroyed && [...this.#open].every((socket) => socket.destroyed)) this.#stop?.()
  }

  #update({ onTrustWithdrawn }: WithdrawnTrustOptions): void {
    this.#retireIfRotated()
    if (onTrustWithdrawn !== 'keep') this.#recheck()
  }

  #recheck(): void {
    if (!this.#authorizer) return
    for (const socket of this.#open) {
      const refusal = recheckPeer(socket, this.#source, this.#authorizer)
      // Who has taken the connection over may listen to no errors.
      if (refusal) socket.on('error', () => undefined).destroy(refusal)
    }
  }

  #retireIfRotated(): void {
    const svid = this.#currentSvid()
    if (svid === this.#svid) return
    this.#svid = svid
    this.#generation = {}
    for (const sockets of Object.values(this.freeSockets)) for (const socket of [...(sockets ?? [])]) socket.destroy()
  }

  #currentSvid(): unknown {
    try {
      return this.#source.getX509Svid()
    } catch {
      return undefined
    }
  }
}

/** Methods that Node calls on every agent and that the type declarations leave out or tell differently. */
const nodeAgent = Agent.prototype as unknown as {
  addRequest(this: Agent, request: ClientRequest, options: object): void
  createConnection(
    this: Agent,
    options: object,
    callback: (error: Error | null, socket?: Duplex) => void,
  ): Duplex | undefined
}

function plaintextRefused({ protocol, host }: ClientRequest): InvalidInputError {
  return new InvalidInputError(
    'ERR_PLAINTEXT_REFUSED',
    `the request for ${protocol}//${host} is not https:, so nobody would be proved; it was not sent`,
  )
}

function destroyIfResumed(socket: Duplex): void {
  if (!(socket instanceof TLSSocket) || !socket.isSessionReused()) return
  socket.destroy(
    new UntrustedPeerError('ERR_SESSION_RESUMED', 'the TLS session was resumed, so the server proved nothing'),
  )
}
