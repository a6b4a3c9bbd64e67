import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { Server, ServerOptions } from 'node:https'
import { createTlsOptionsForServer } from '../../tls/index.js'
import type { IdentitySource, ServerTlsPolicy } from '../../tls/index.js'
import { attachSpiffe } from './attach-spiffe.js'
import type { AttachOptions } from './attach-spiffe.js'

/** Options of Node's servers that identity and proof decide; an application that sets one would undo them. */
export type ServerIdentityOptions =
  | 'key'
  | 'cert'
  | 'ca'
  | 'crl'
  | 'pfx'
  | 'passphrase'
  | 'requestCert'
  | 'rejectUnauthorized'
  | 'secureContext'
  | 'SNICallback'
  | 'pskCallback'
  | 'pskIdentityHint'
  | 'ticketKeys'
  | 'sessionTimeout'
  | 'sessionIdContext'
  | 'minVersion'
  | 'maxVersion'
  | 'secureProtocol'

/** Our options, and those of `https.createServer` that do not touch identity. */
export type HttpsServerOptions = AttachOptions & Omit<ServerOptions, ServerIdentityOptions>

/**
 * Makes an HTTPS server whose clients have proved their SPIFFE ID before a request reaches `listener`.
 * @param listener - A request listener; an Express application is one.
 * @throws as {@link attachSpiffe} does.
 */
export function createHttpsServer(
  source: IdentitySource,
  options: HttpsServerOptions,
  listener?: RequestListener,
): Server {
  const server = createServer(ownTlsOptions(source, options), listener)
  attachSpiffe(server, source, options)
  return server
}

/** The application's options with our own in the place of all that identity and proof decide. */
export function ownTlsOptions<T extends ServerTlsPolicy>(source: IdentitySource, options: T) {
  return { ...options, ...neverSet, ...createTlsOptionsForServer(source, options) }
}

/** For callers without types: these options would bring a second identity or a way around the proof. */
const neverSet = {
  pfx: undefined,
  passphrase: undefined,
  crl: undefined,
  pskCallback: undefined,
  pskIdentityHint: undefined,
  ticketKeys: undefined,
  maxVersion: undefined,
  secureProtocol: undefined,
}
