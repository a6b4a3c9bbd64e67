import type { Http2SecureServer, Http2Session } from 'node:http2'
import type { Server } from 'node:https'
import type { IdentitySource } from '../../tls/index.js'
import { createHttp2Server, createHttpsServer } from '../http/index.js'
import type { Http2ServerOptions, HttpsServerOptions } from '../http/index.js'
import { listenOnEveryLocalhost } from './listen-on-every-localhost.js'

/** Options of `createHttpsServer`, and for `http2: true` those of `createHttp2Server`, `allowHTTP1` among them. */
export type SpiffeServerFactoryOptions = HttpsServerOptions & Http2ServerOptions

/** Fits Fastify's option `serverFactory`. Which of the two the server is, Fastify's option `http2` says. */
export type SpiffeServerFactory = (
  handler: (request: never, response: never) => void,
  fastifyOptions: FastifyServerSettings,
) => Server & Http2SecureServer

/** Options of Fastify that it leaves to a server factory to obey. */
export interface FastifyServerSettings {
  http2?: unknown
  connectionTimeout?: unknown
  keepAliveTimeout?: unknown
  requestTimeout?: unknown
  maxRequestsPerSocket?: unknown
  http2SessionTimeout?: unknown
}

/**
 * Makes Fastify serve HTTPS to clients that have proved their SPIFFE ID:
 * `Fastify({ serverFactory: spiffeServerFactory(source, { authorize }) })`. With `http2: true` beside it Fastify serves
 * HTTP/2, and with `allowHTTP1: true` among the options here HTTP/1 as well.
 * @throws as `createHttpsServer` does, when Fastify makes its server.
 */
export function spiffeServerFactory(source: IdentitySource, options: SpiffeServerFactoryOptions): SpiffeServerFactory {
  return (handler, settings) => {
    const isHttp2 = settings.http2 === true
    const create = isHttp2 ? createHttp2Server : createHttpsServer
    const server = create(source, options, handler as () => void) as Server & Http2SecureServer
    const { connectionTimeout, keepAliveTimeout, requestTimeout, maxRequestsPerSocket } = settings
    if (typeof connectionTimeout === 'number') server.setTimeout(connectionTimeout)
    if (typeof keepAliveTimeout === 'number') server.keepAliveTimeout = keepAliveTimeout
    if (typeof requestTimeout === 'number') server.requestTimeout = requestTimeout
    if (typeof maxRequestsPerSocket === 'number' && maxRequestsPerSocket > 0) {
      server.maxRequestsPerSocket = maxRequestsPerSocket
    }
    if (isHttp2) endSessions(server, settings.http2SessionTimeout)
    return listenOnEveryLocalhost(server)
  }
}

/** Ends sessions that were idle for a time, and all when Fastify closes; requests in progress finish. */
function endSessions(server: Http2SecureServer, idleMs: unknown): void {
  const open = new Set<Http2Session>()
  server.on('session', (session) => {
    open.add(session)
    session.once('close', () => open.delete(session))
    if (typeof idleMs === 'number') session.setTimeout(idleMs, () => session.close())
  })
  // Fastify calls it. Node closes sessions by itself from version 24 on only.
  const closeHttp2Sessions = () => open.forEach((session) => session.close())
  Object.assign(server, { closeHttp2Sessions })
}
