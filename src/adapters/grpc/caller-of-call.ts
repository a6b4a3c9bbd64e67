import type { PeerCertificate, TLSSocket } from 'node:tls'
import { callerOf } from '../../tls/index.js'
import type { Caller } from '../../tls/index.js'

/** As much of a grpc-js server call as is needed to know who makes it. */
export interface CallWithAuthContext {
  getAuthContext(): { sslPeerCertificate?: PeerCertificate | undefined }
}

/** grpc-js shows handlers the leaf of a proved connection and not its socket, so callers are found by their leaf. */
const connected = new Map<string, { readonly caller: Caller; sockets: number }>()

/** The proved client that makes a call; `undefined` where nobody was proved. */
export function callerOfCall(call: CallWithAuthContext): Caller | undefined {
  const fingerprint = call.getAuthContext().sslPeerCertificate?.fingerprint256
  return fingerprint === undefined ? undefined : connected.get(fingerprint)?.caller
}

/** Knows the caller for as long as one of its connections lives. */
export function rememberCaller(socket: TLSSocket): void {
  const caller = callerOf(socket)
  if (!caller) return
  const { fingerprint256 } = socket.getPeerCertificate()
  const entry = connected.get(fingerprint256) ?? { caller, sockets: 0 }
  connected.set(fingerprint256, entry)
  entry.sockets++
  socket.once('close', () => {
    entry.sockets--
    if (entry.sockets === 0) connected.delete(fingerprint256)
  })
}
