import { TLSSocket } from 'node:tls'
import type { X509Bundle } from '../bundle/index.js'
import type { Certificate } from '../encoding/index.js'
import { UntrustedPeerError } from '../errors/index.js'
import type { SpiffeId, TrustDomain } from '../spiffe-id/index.js'
import type { TlsPurpose, VerifiedX509Svid } from '../svid/index.js'

/** The peer of a connection, after it has proved who it is. */
export interface Caller {
  readonly id: SpiffeId
  readonly trustDomain: TrustDomain
  /** The leaf that the peer presented. */
  readonly certificate: Certificate
  /** Earliest end of validity on the path from the leaf to its authority. */
  readonly expiresAt: Date
  readonly provedBy: 'x509-svid'
}

/** What a handshake left behind. Written at its end; nothing is read from the TLS layer again later. */
export interface Proof {
  /** Absent on a connection whose peer was allowed to stay anonymous. */
  readonly caller: Caller | undefined
  /** The bundle that proved the caller, replaced when a newer one has proved it as well. */
  readonly by: { bundle: X509Bundle | undefined }
  /** The certificates as they were sent, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly provedAt: Date
  /** What the peer used its certificate for. */
  readonly purpose: TlsPurpose
  /** Whether the authorizer of this server admits the peer. */
  readonly admitted: boolean
}

// A property rather than a WeakMap: HTTP/2 shows its socket through a Proxy, which passes properties on.
const proofOfPeer = Symbol('spiffe peer')

interface MaybeProved {
  [proofOfPeer]?: Proof
}

export function newCaller(verified: VerifiedX509Svid): Caller {
  return Object.freeze({
    id: verified.id,
    trustDomain: verified.id.trustDomain,
    certificate: verified.leaf,
    expiresAt: verified.expiresAt,
    provedBy: 'x509-svid',
  })
}

export function storeProof(socket: object, proof: Proof): void {
  Object.defineProperty(socket, proofOfPeer, { value: Object.freeze(proof) })
}

// A client's check sees no socket, only the options object that Node made for this one connection and keeps on the
// socket under a symbol of its own.
const proofsByConnectOptions = new WeakMap<object, Proof>()

export function storeClientProof(connectOptions: object, proof: Proof): void {
  proofsByConnectOptions.set(connectOptions, proof)
}

/** The proof of a connection, or `undefined` where none was made or the socket is gone. */
export function proofOf(socket: unknown): Proof | undefined {
  if (typeof socket !== 'object' || socket === null) return undefined
  try {
    return (socket as MaybeProved)[proofOfPeer] ?? adoptClientProof(socket)
  } catch {
    // The socket Proxy of a finished HTTP/2 session throws at every property.
    return undefined
  }
}

function adoptClientProof(socket: object): Proof | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    const value: unknown = (socket as unknown as Record<symbol, unknown>)[symbol]
    const proof = typeof value === 'object' && value !== null ? proofsByConnectOptions.get(value) : undefined
    if (!proof) continue
    storeProof(socket, proof)
    return proof
  }
  return undefined
}

/** The proved peer of a connection; `undefined` where nobody was proved. Who was proved may still be unauthorized. */
export function callerOf(socket: unknown): Caller | undefined {
  return proofOf(socket)?.caller
}

/** Whether this connection passed its server's authorizer, or its server lets anonymous peers in. */
export function isAdmitted(socket: unknown): boolean {
  return proofOf(socket)?.admitted === true
}

/**
 * The SPIFFE ID that the peer of this connection proved.
 * @throws UntrustedPeerError with code `ERR_PEER_NOT_PROVED` where no proof was made.
 */
export function peerId(socket: unknown): SpiffeId {
  const caller = callerOf(socket)
  if (caller) return caller.id
  throw new UntrustedPeerError(
    'ERR_PEER_NOT_PROVED',
    'nobody was proved on this socket; expected a connection of a server that attachSpiffe was called for, ' +
      'or of one of our clients',
  )
}
