import { createSecureServer } from 'node:http2'
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse, SecureServerOptions } from 'node:http2'
import type { IdentitySource } from '../../tls/index.js'
import { attachSpiffe } from './attach-spiffe.js'
import type { AttachOptions } from './attach-spiffe.js'
import { ownTlsOptions } from './create-https-server.js'
import type { ServerIdentityOptions } from './create-https-server.js'

/** Our options, and those of `http2.createSecureServer` that do not touch identity; `allowHTTP1` is one of these. */
export type Http2ServerOptions = AttachOptions & Omit<SecureServerOptions, ServerIdentityOptions>

/**
 * Makes an HTTP/2 server whose clients have proved their SPIFFE ID before a stream reaches `listener` or any other
 * handler. With `allowHTTP1: true` it serves HTTP/1 clients on the same terms.
 * @throws as `attachSpiffe` does.
 */
export function createHttp2Server(
  source: IdentitySource,
  options: Http2ServerOptions,
  listener?: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Http2SecureServer {
  const server = createSecureServer(ownTlsOptions(source, options), listener)
  attachSpiffe(server, source, options)
  return server
}
