import { randomUUID } from 'node:crypto'
import * as tls from 'node:tls'
import { expectOneOf, InvalidInputError, UntrustedPeerError } from '../errors/index.js'
import { toAuthorizer } from './authorizer.js'
import type { Authorize, Authorizer } from './authorizer.js'
import { readCipherPolicy } from './cipher-policy.js'
import type { CipherPolicy } from './cipher-policy.js'
import { liveSecureContext } from './client-context.js'
import type { IdentitySource } from './identity-source.js'
import { readMinVersion } from './min-version.js'
import { storeClientProof } from './proof.js'
import { provePeer, refusalOf } from './prove-peer.js'
import type { WithdrawnTrustOptions } from './recheck-peers.js'
import { sentChain } from './sent-chain.js'

/** What a client asks of the server: an X509-SVID that it authorizes, or an ordinary web certificate. */
export type ExpectedServer =
  | {
      /** Who the server may be. Host names play no part; write `authorizeAny()` to admit every proved server. */
      authorize: Authorize
      /** Asks in addition that the certificate names the host that was dialled. Default `false`. */
      checkHostname?: boolean | undefined
      webServer?: undefined
    }
  | {
      /**
       * The server is an ordinary web server, proved by its host name and the web's roots (`true`) or by these roots
       * (PEM). Our SVID is still presented, so the server knows the client by its SPIFFE ID.
       */
      webServer: true | { ca: readonly string[] }
      authorize?: undefined
      checkHostname?: undefined
    }

export type ClientTlsOptions = ExpectedServer &
  CipherPolicy & {
    /** Default `'TLSv1.3'`. */
    minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  }

/**
 * Options that would bring another identity, other roots, or a way around the proof. Set to `undefined` among ours, so that
 * those which a caller spreads before ours are gone.
 */
const neverSet = {
  key: undefined,
  cert: undefined,
  ca: undefined,
  crl: undefined,
  pfx: undefined,
  passphrase: undefined,
  /** To resume one, or to share a key with the server, skips `checkServerIdentity`. */
  session: undefined,
  pskCallback: undefined,
}
type NeverSet = typeof neverSet

/**
 * Options for `tls.connect` and for every driver that passes options on to it; spread them last. One object serves any
 * number of connections over any number of rotations. A driver that copies them deeply would freeze them; none that we know
 * does.
 */
export interface SpiffeClientTlsOptions extends NeverSet {
  secureContext: tls.SecureContext
  checkServerIdentity: (hostname: string, certificate: tls.PeerCertificate) => Error | undefined
  rejectUnauthorized: true
  /** For agents that keep sessions: a resumed session would skip every check. */
  maxCachedSessions: 0
  /**
   * Clients do not use it, but an `https.Agent` keeps a connection for requests of the same one only: else a request would
   * be sent to whom another authorizer admits.
   */
  sessionIdContext: string
}

/**
 * Makes TLS client options that present the newest SVID and prove the server's SPIFFE ID.
 *
 * A connection made while the source has no valid SVID throws the source's error at once, from `tls.connect`.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID`, `ERR_SPIFFE_ID_INVALID` or
 * `ERR_INVALID_ARGUMENT`.
 */
export function createTlsOptionsForClient(source: IdentitySource, options: ClientTlsOptions): SpiffeClientTlsOptions {
  const { webServer, authorize: authorizer } = withAuthorizer(options)
  const minVersion = readMinVersion(options.minVersion) ?? 'TLSv1.3'
  const policy = readCipherPolicy(options)
  if (!authorizer) {
    const web = webRoots(webServer)
    return {
      ...neverSet,
      secureContext: liveSecureContext(source, { roots: { web }, minVersion, policy }),
      checkServerIdentity: tls.checkServerIdentity,
      rejectUnauthorized: true,
      maxCachedSessions: 0,
      sessionIdContext: randomUUID(),
    }
  }
  const checkHostname = options.checkHostname === true
  return {
    ...neverSet,
    secureContext: liveSecureContext(source, { roots: { trustDomain: authorizer.trustDomain }, minVersion, policy }),
    // Node calls it as a method of the options of this one connection, after its own verification has passed.
    checkServerIdentity(this: unknown, hostname, certificate) {
      try {
        const chain = sentChain(certificate)
        const provedAt = new Date()
        const { caller, bundle } = provePeer(chain, source, { now: provedAt, purpose: 'serverAuth' })
        const refusal = refusalOf(caller, authorizer)
        if (refusal) return refusal
        if (checkHostname) {
          const mismatch = tls.checkServerIdentity(hostname, certificate)
          if (mismatch) return mismatch
        }
        if (typeof this === 'object' && this) {
          storeClientProof(this, { caller, by: { bundle }, chain, provedAt, purpose: 'serverAuth', admitted: true })
        }
        return undefined
      } catch (error) {
        if (error instanceof Error) return error
        return new UntrustedPeerError('ERR_PEER_NOT_PROVED', 'the server could not be proved', { cause: error })
      }
    },
    rejectUnauthorized: true,
    maxCachedSessions: 0,
    sessionIdContext: randomUUID(),
  }
}

/**
 * A copy of the options with `authorize` read, for whoever asks about a server again later: what a caller does to its
 * object or its list after set-up changes nothing. Absent where an ordinary web server is called.
 * @throws InvalidInputError as {@link createTlsOptionsForClient} does.
 */
export function withAuthorizer<T extends ClientTlsOptions>(options: T): T & { authorize?: Authorizer | undefined } {
  if (options.webServer && (options as { authorize?: unknown }).authorize !== undefined) {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      'webServer means a server without a SPIFFE ID, so authorize cannot be obeyed; give one of them',
    )
  }
  expectOneOf('checkHostname', options.checkHostname, [true, false])
  expectOneOf('onTrustWithdrawn', (options as WithdrawnTrustOptions).onTrustWithdrawn, ['destroy', 'keep'])
  return { ...options, authorize: options.webServer ? undefined : toAuthorizer(options.authorize) }
}

/** Only `true` means the web's roots: whoever meant roots of their own and has none shall not get those. */
function webRoots(webServer: unknown): readonly string[] | undefined {
  if (webServer === true) return undefined
  const ca: unknown = typeof webServer === 'object' && webServer && 'ca' in webServer ? webServer.ca : undefined
  if (Array.isArray(ca) && ca.length > 0 && ca.every((pem) => typeof pem === 'string')) return [...ca]
  throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'webServer is true, or { ca } with a list of PEM texts')
}
