import type { Http2SecureServer } from 'node:http2'
import type { Server } from 'node:https'
import { attachSpiffeToServer } from '../../tls/index.js'
import type { AttachToServerOptions, IdentitySource } from '../../tls/index.js'
import { drainOldConnections, readMaxConnectionAge } from './drain.js'
import { guardRequests } from './guard.js'

/** As for a plain TLS server; a proved peer that is not authorized gets 403 here. */
export type AttachOptions = AttachToServerOptions & {
  onUnauthorized?: undefined
  /**
   * Age in milliseconds, give or take a tenth, at which a connection is ended gracefully, so that its peer proves itself
   * anew: HTTP/1 and HTTP/2 once the requests in progress have finished, upgraded connections (WebSocket) and CONNECT tunnels
   * at once. Default: never.
   */
  maxConnectionAgeMs?: number | undefined
}

/**
 * Makes an HTTPS or HTTP/2 server prove its clients and present the newest SVID to them.
 *
 * A client that proves nothing is cut off in the handshake. A client that proves a SPIFFE ID which `authorize` does not
 * admit is answered 403 with a problem body, before any handler runs. Call it once, before the server listens.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID`, `ERR_INVALID_ARGUMENT` or
 * `ERR_SERVER_ALREADY_ATTACHED`; and what the source throws when it has no valid SVID.
 */
export function attachSpiffe(server: Server | Http2SecureServer, source: IdentitySource, options: AttachOptions): void {
  // Before anything is attached: a server is attached whole or not at all.
  const { maxConnectionAgeMs, ...rest } = options
  const maxAgeMs = readMaxConnectionAge(maxConnectionAgeMs)
  attachSpiffeToServer(server, source, { ...rest, onUnauthorized: 'mark' })
  drainOldConnections(server, maxAgeMs)
  guardRequests(server)
}
