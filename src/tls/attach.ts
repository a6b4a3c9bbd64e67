import { channel } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import { types } from 'node:util'
import { expectOneOf, InvalidInputError, UntrustedPeerError } from '../errors/index.js'
import { beforeListeners } from '../flow/index.js'
import { toAuthorizer } from './authorizer.js'
import type { Authorize, Authorizer } from './authorizer.js'
import type { IdentitySource } from './identity-source.js'
import { storeProof } from './proof.js'
import type { Proof } from './proof.js'
import { provePeer, recheckPeer, refusalOf } from './prove-peer.js'
import { onRecheck } from './recheck-peers.js'
import type { WithdrawnTrustOptions } from './recheck-peers.js'
import { sentChain } from './sent-chain.js'
import { ServerIdentity } from './server-identity.js'
import type { ServerTlsPolicy } from './server-identity.js'
import { isAttached, markAttached } from './server-options.js'

/** What is asked of the clients of a server. */
export type ExpectedClients =
  | {
      /**
       * `'required'`: every client proves a SPIFFE ID. `'optional'`: a client may also present no certificate; it then
       * has no caller, and each route decides. Default `'required'`.
       */
      clients?: 'required' | 'optional' | undefined
      /** Which proved clients are admitted. */
      authorize: Authorize
    }
  | {
      /** Clients are not asked for a certificate. */
      clients: 'none'
      authorize?: undefined
    }

/** What an attached server does with connections that do not, or no longer, pass. */
export interface RefusalOptions extends WithdrawnTrustOptions {
  /**
   * Called when a connection was refused, after it was closed or marked. What it throws changes nothing and is only told
   * to the diagnostics channel: strangers decide how often it is called, so it must not be able to end the process.
   */
  onRejected?: ((error: Error, socket: Socket) => void) | undefined
}

export type AttachToServerOptions = ExpectedClients &
  ServerTlsPolicy &
  RefusalOptions & {
    /**
     * A peer that proved itself and is not authorized: close (`'destroy'`), or let the connection in with
     * `isAdmitted(socket) === false` so that the protocol above can say no politely, for which it has five seconds
     * (`'mark'`). Default `'destroy'`.
     */
    onUnauthorized?: 'destroy' | 'mark' | undefined
  }

/**
 * Makes a TLS server prove its clients and present the newest SVID to them. `https` and `http2` servers have an
 * `attachSpiffe` of their own, which also answers 403.
 *
 * Each client is proved synchronously at the end of its handshake, before it or anything that it sent reaches a listener,
 * whenever and however that was added. One that proves nothing is cut off. While the source has no valid SVID every
 * handshake fails. Refusals are told to `onRejected`, and as `{ error, socket, thrown }` to the diagnostics channel
 * `spiffe:tls:rejected`, where `thrown` is what `onRejected` threw, if it did.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID`, `ERR_INVALID_ARGUMENT` or
 * `ERR_SERVER_ALREADY_ATTACHED`; and what the source throws when it has no valid SVID.
 */
export function attachSpiffeToServer(server: Server, source: IdentitySource, given: AttachToServerOptions): void {
  // A copy: what a caller does to its object later, for another server perhaps, changes nothing here.
  const options = { ...given }
  const gate = new Gate(source, options)
  if (isAttached(server)) {
    throw new InvalidInputError('ERR_SERVER_ALREADY_ATTACHED', 'attachSpiffe was called twice for the same server')
  }
  const identity = new ServerIdentity(server, source, options)
  identity.renew()
  markAttached(server)
  onRecheck(server, () => gate.recheck())

  server.prependListener('connection', (socket: Socket) => {
    try {
      identity.renew()
    } catch (error) {
      // The server shows no certificate now, so the handshake that follows fails by itself.
      gate.report(error, socket)
    }
  })
  beforeListeners(server, (event, [socket]) => {
    if (event !== 'secureConnection') return true
    gate.admit(socket as TLSSocket)
    return !(socket as TLSSocket).destroyed
  })
  keepCurrent(server, source, gate, () => {
    try {
      identity.renew()
    } catch {
      // Told to whoever connects next.
    }
    if (options.onTrustWithdrawn !== 'keep') gate.recheck()
  })

  // Read by Node for each connection. Our own proof is in place now, so Node's may stand back.
  const modes = server as unknown as { requestCert: boolean; rejectUnauthorized: boolean }
  modes.requestCert = gate.asksForCertificate
  modes.rejectUnauthorized = false
}

/** How long a peer that is not authorized may stay to be told so. */
const timeToSayNoMs = 5_000
const rejected = channel('spiffe:tls:rejected')

function keepCurrent(server: Server, source: IdentitySource, gate: Gate, update: () => void): void {
  let stop: (() => void) | undefined
  const start = () => {
    gate.onEmpty = undefined
    stop ??= source.onUpdate?.(update)
  }
  const end = () => {
    gate.onEmpty = undefined
    stop?.()
    stop = undefined
  }
  start()
  server.on('listening', start)
  server.on('close', () => {
    // Connections that another listener took and handed on are none that the server waits for.
    if (gate.isEmpty) end()
    else gate.onEmpty = end
  })
}

/** Decides about each connection of one server. */
class Gate {
  readonly #source: IdentitySource
  readonly #options: AttachToServerOptions
  readonly #authorizer: Authorizer | undefined
  readonly #open = new Set<TLSSocket>()
  /** Called when the last open connection has closed. */
  onEmpty: (() => void) | undefined

  constructor(source: IdentitySource, options: AttachToServerOptions) {
    const { clients = 'required', onUnauthorized = 'destroy', onRejected } = options
    expectOneOf('clients', clients, ['required', 'optional', 'none'])
    expectOneOf('onUnauthorized', onUnauthorized, ['destroy', 'mark'])
    expectOneOf('onTrustWithdrawn', options.onTrustWithdrawn, ['destroy', 'keep'])
    if ('maxConnectionAgeMs' in options && options.maxConnectionAgeMs !== undefined) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        'maxConnectionAgeMs is for https and HTTP/2, which can end a connection gracefully; ' +
          "gRPC has 'grpc.max_connection_age_ms', an option of its own server",
      )
    }
    if (onRejected !== undefined && typeof onRejected !== 'function') {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `onRejected is of type ${typeof onRejected}; expected a function`,
      )
    }
    if (clients === 'none' && (options as { authorize?: unknown }).authorize !== undefined) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', "clients: 'none' asks nobody, so authorize cannot be obeyed")
    }
    this.#source = source
    this.#options = options
    this.#authorizer = clients === 'none' ? undefined : toAuthorizer(options.authorize)
  }

  get asksForCertificate(): boolean {
    return this.#authorizer !== undefined
  }

  admit(socket: TLSSocket): void {
    // Node re-runs the handshake of TLS 1.2 when a client asks for it; nobody gets a second say.
    if (socket.getProtocol() !== 'TLSv1.3') forbidRenegotiation(socket)
    let proof: Proof
    let refusal: Error | undefined
    try {
      ;({ proof, refusal } = this.#prove(socket))
    } catch (error) {
      this.#refuse(error, socket)
      return
    }
    if (refusal && this.#options.onUnauthorized !== 'mark') {
      this.#refuse(refusal, socket)
      return
    }
    storeProof(socket, proof)
    if (refusal) {
      endIn(timeToSayNoMs, socket)
      this.report(refusal, socket)
      return
    }
    // Middleware that looks for Node's own verdict finds ours.
    Object.assign(socket, { authorized: proof.caller !== undefined, authorizationError: null })
    if (!proof.caller) return
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      if (this.isEmpty) this.onEmpty?.()
    })
  }

  get isEmpty(): boolean {
    return this.#open.size === 0
  }

  recheck(): void {
    if (!this.#authorizer) return
    for (const socket of this.#open) {
      const refusal = recheckPeer(socket, this.#source, this.#authorizer)
      if (refusal) this.#refuse(refusal, socket)
    }
  }

  /** Never throws, so that nothing is left undone by whoever reports. */
  report(error: unknown, socket: Socket): void {
    let thrown: unknown
    try {
      const told = error instanceof Error ? error : new Error(String(error))
      const answer: unknown = this.#options.onRejected?.(told, socket)
      // Of an async function; a rejection that nobody listens to would end the process.
      if (types.isPromise(answer)) answer.catch(() => undefined)
    } catch (cause) {
      thrown = cause
    }
    if (rejected.hasSubscribers) rejected.publish({ error, socket, thrown })
  }

  #prove(socket: TLSSocket): { proof: Proof; refusal?: Error | undefined } {
    if (socket.isSessionReused()) {
      throw new UntrustedPeerError(
        'ERR_SESSION_RESUMED',
        'the client resumed a TLS session, which proves nothing; expected a full handshake',
      )
    }
    const provedAt = new Date()
    const purpose = 'clientAuth'
    const nobody = { caller: undefined, by: { bundle: undefined }, chain: [] }
    const anonymous = { proof: { ...nobody, provedAt, purpose, admitted: true } as const }
    if (!this.#authorizer) return anonymous
    const chain = sentChain(socket.getPeerCertificate(true))
    if (chain.length === 0 && this.#options.clients === 'optional') return anonymous
    const { caller, bundle } = provePeer(chain, this.#source, { now: provedAt, purpose })
    const refusal = refusalOf(caller, this.#authorizer)
    return { proof: { caller, by: { bundle }, chain, provedAt, purpose, admitted: refusal === undefined }, refusal }
  }

  #refuse(error: unknown, socket: TLSSocket): void {
    // Nothing softer will do: after end() Node may still hand over what the client has sent already.
    socket.on('error', () => undefined)
    socket.destroy()
    this.report(error, socket)
  }
}

/** However busy the peer keeps the connection: a limit on idleness would let it stay for ever. */
function endIn(ms: number, socket: TLSSocket): void {
  const timer = setTimeout(() => socket.destroy(), ms).unref()
  socket.once('close', () => clearTimeout(timer))
}

function forbidRenegotiation(socket: TLSSocket): void {
  socket.disableRenegotiation()
  // The attempt surfaces as an error and then goes on, unless the connection ends.
  socket.on('error', () => socket.destroy())
}
