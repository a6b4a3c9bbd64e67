import type * as tls from 'node:tls'
import { InvalidInputError } from '../errors/index.js'
import type { IdentitySource } from './identity-source.js'
import { readMinVersion } from './min-version.js'
import { certificateToShow, contextOptions } from './server-identity.js'
import type { ServerTlsPolicy } from './server-identity.js'

/** What {@link createTlsOptionsForServer} returns; every member is needed, so spread it last. */
export interface SpiffeServerTlsOptions {
  /** Comes with `attachSpiffe`: until then no handshake can succeed, whatever else is overwritten. */
  cert: undefined
  key: undefined
  ca: string[]
  minVersion: tls.SecureVersion
  secureOptions: number
  requestCert: true
  rejectUnauthorized: true
  SNICallback: NonNullable<tls.TlsOptions['SNICallback']>
}

/**
 * Makes options for `tls.createServer`, `https.createServer` and `http2.createSecureServer`.
 *
 * They trust nobody and show nothing: a server made with them refuses every client until `attachSpiffe` (or, for plain TLS,
 * `attachSpiffeToServer`) is called for it. That call brings the certificate, and keeps it fresh.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT`; what the source throws when it has no valid SVID.
 */
export function createTlsOptionsForServer(
  source: IdentitySource,
  policy: ServerTlsPolicy = {},
): SpiffeServerTlsOptions {
  // Asked for now only to fail early.
  certificateToShow(source, policy)
  return {
    ...contextOptions(undefined, readMinVersion(policy.minVersion) ?? 'TLSv1.3'),
    cert: undefined,
    key: undefined,
    requestCert: true,
    rejectUnauthorized: true,
    SNICallback: sayNotAttached,
  }
}

const attached = new WeakSet<tls.Server>()

export function isAttached(server: tls.Server): boolean {
  return attached.has(server)
}

export function markAttached(server: tls.Server): void {
  attached.add(server)
  // Gives the choice of contexts by host name back to Node, so that `server.addContext` works as usual.
  const symbols = server as unknown as Record<symbol, unknown>
  for (const symbol of Object.getOwnPropertySymbols(server)) {
    if (symbols[symbol] === sayNotAttached) symbols[symbol] = undefined
  }
}

/** The one place where Node lets us speak up during a handshake: when the client has named the host it wants. */
function sayNotAttached(
  this: { server?: tls.Server },
  _servername: string,
  callback: (error: Error | null) => void,
): void {
  if (this.server && attached.has(this.server)) {
    callback(null)
    return
  }
  callback(
    new InvalidInputError(
      'ERR_SERVER_NOT_ATTACHED',
      'the server was made with createTlsOptionsForServer and refuses everyone; ' +
        'call attachSpiffe(server, source, { authorize }) before it listens',
    ),
  )
}
