import type { EventEmitter } from 'node:events'
import { createServer as createHttp2Server } from 'node:http2'
import type { Http2Stream } from 'node:http2'
import { createServer } from 'node:tls'
import type { Server as TlsServer, TLSSocket } from 'node:tls'
import { ServerCredentials, status } from '@grpc/grpc-js'
import type { Server } from '@grpc/grpc-js'
import { beforeListeners } from '../../flow/index.js'
import { attachSpiffeToServer, callerOf, createTlsOptionsForServer, isAdmitted } from '../../tls/index.js'
import type { AttachToServerOptions, IdentitySource } from '../../tls/index.js'
import { rememberCaller } from './caller-of-call.js'

export type GrpcServerOptions = AttachToServerOptions & { onUnauthorized?: undefined }

/**
 * Puts a TLS server in front of a grpc-js server, instead of `bindAsync`. Each client is proved in the handshake; one that
 * proves nothing is cut off, and the calls of one that is not authorized get PERMISSION_DENIED, before any handler or
 * interceptor. Handlers ask `callerOfCall(call)`.
 *
 * `grpc.max_connection_age_ms` among the options of the grpc-js server ends connections in time, so that clients come
 * back with their newest SVID.
 * @returns The TLS server. Call `listen` on it, and `close` beside the `tryShutdown` of the grpc-js server.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or `ERR_INVALID_ARGUMENT`; and
 * what the source throws when it has no valid SVID.
 */
export function serveGrpc(server: Server, source: IdentitySource, options: GrpcServerOptions): TlsServer {
  const terminator = createServer({ ...createTlsOptionsForServer(source, options), ALPNProtocols: ['h2'] })
  attachSpiffeToServer(terminator, source, { ...options, onUnauthorized: 'mark' })
  const injector = newInjector(server)
  const denier = permissionDenier()
  terminator.on('secureConnection', (socket) => {
    if (socket.destroyed) return
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy()
    } else if (isAdmitted(socket)) {
      rememberCaller(socket)
      injector.injectConnection(socket)
    } else {
      denier(socket)
    }
  })
  return terminator
}

/** Where admitted connections go. */
function newInjector(server: Server): ReturnType<Server['createConnectionInjector']> {
  // Private, but nothing else leads to the server whose events have to be guarded.
  const { http2Servers } = server as unknown as { http2Servers?: ReadonlyMap<EventEmitter, unknown> }
  const known = new Set(http2Servers?.keys())
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  for (const own of http2Servers?.keys() ?? []) {
    // It answers some calls at once, and to answer a stream that was reset before its event came throws.
    if (!known.has(own)) beforeListeners(own, (event, [stream]) => event !== 'stream' || !isDead(stream as Http2Stream))
  }
  return injector
}

/** Nothing that it says later ends the process. */
function isDead(stream: Http2Stream): boolean {
  if (!stream.destroyed && !stream.closed) return false
  stream.on('error', () => undefined)
  return true
}

/** Answers every call on a connection as gRPC wants to be told no. */
function permissionDenier(): (socket: TLSSocket) => void {
  const server = createHttp2Server()
  server.on('stream', (stream) => {
    if (isDead(stream)) return
    const id = callerOf(stream.session?.socket)?.id.toString() ?? 'the caller'
    stream.on('error', () => undefined)
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc+proto',
        'grpc-status': String(status.PERMISSION_DENIED),
        'grpc-message': `${id} is not authorized here`,
      },
      { endStream: true },
    )
    stream.resume()
  })
  server.on('session', (session) => session.on('error', () => undefined))
  return (socket) => void server.emit('connection', socket)
}
