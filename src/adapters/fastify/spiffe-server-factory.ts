import type { RequestListener } from 'node:http'
import type { Server } from 'node:https'
import type { IdentitySource } from '../../tls/index.js'
import { createHttpsServer } from '../http/index.js'
import type { HttpsServerOptions } from '../http/index.js'
import { listenOnEveryLocalhost } from './listen-on-every-localhost.js'

/** Fits Fastify's option `serverFactory`. */
export type SpiffeServerFactory = (handler: RequestListener, fastifyOptions: FastifyTimeouts) => Server

/** Options of Fastify that it leaves to a server factory to obey. */
export interface FastifyTimeouts {
  connectionTimeout?: unknown
  keepAliveTimeout?: unknown
  requestTimeout?: unknown
  maxRequestsPerSocket?: unknown
}

/**
 * Makes Fastify serve HTTPS to clients that have proved their SPIFFE ID:
 * `Fastify({ serverFactory: spiffeServerFactory(source, { authorize }) })`.
 * @throws as `createHttpsServer` does, when Fastify makes its server.
 */
export function spiffeServerFactory(source: IdentitySource, options: HttpsServerOptions): SpiffeServerFactory {
  return (handler, fastifyOptions) => {
    const server = createHttpsServer(source, options, handler)
    const { connectionTimeout, keepAliveTimeout, requestTimeout, maxRequestsPerSocket } = fastifyOptions
    if (typeof connectionTimeout === 'number') server.setTimeout(connectionTimeout)
    if (typeof keepAliveTimeout === 'number') server.keepAliveTimeout = keepAliveTimeout
    if (typeof requestTimeout === 'number') server.requestTimeout = requestTimeout
    if (typeof maxRequestsPerSocket === 'number' && maxRequestsPerSocket > 0) {
      server.maxRequestsPerSocket = maxRequestsPerSocket
    }
    return listenOnEveryLocalhost(server)
  }
}
