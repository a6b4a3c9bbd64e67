import { connect } from 'node:http2'
import type { ClientHttp2Session, SecureClientSessionOptions } from 'node:http2'
import { isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { SecureContextOptions } from 'node:tls'
import { InvalidInputError } from '../../errors/index.js'
import {
  callerOf,
  cipherPolicyNames,
  createTlsOptionsForClient,
  onRecheck,
  recheckPeer,
  refuseInOurWords,
  withAuthorizer,
} from '../../tls/index.js'
import type {
  Authorizer,
  ClientTlsOptions,
  IdentitySource,
  SpiffeClientTlsOptions,
  WithdrawnTrustOptions,
} from '../../tls/index.js'

/** What identity and proof decide, and what Node reads only for contexts that it makes itself. */
type Ours =
  keyof SpiffeClientTlsOptions | keyof SecureContextOptions | 'createConnection' | 'protocol' | 'ALPNProtocols'

export type Http2ClientOptions = ClientTlsOptions &
  WithdrawnTrustOptions & {
    /** Options of `http2.connect` that do not touch identity. */
    sessionOptions?: Omit<SecureClientSessionOptions, Ours> | undefined
  }

/**
 * Opens one HTTP/2 session that presents the newest SVID and proves the server's SPIFFE ID; `peerId(session.socket)` tells
 * it once the session has connected. A session keeps the SVID that it began with: `SpiffeHttp2Client` replaces it. When
 * its server would no longer be accepted, it ends with the error that says why.
 * @param authority - An `https:` URL.
 * @throws InvalidInputError with code `ERR_PLAINTEXT_REFUSED`, `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or
 * `ERR_SPIFFE_ID_INVALID`; and what the source throws when it has no valid SVID.
 */
export function connectHttp2(
  source: IdentitySource,
  authority: string | URL,
  options: Http2ClientOptions,
): ClientHttp2Session {
  const expected = withAuthorizer(options)
  const session = openSession(authority, createTlsOptionsForClient(source, expected), expected)
  const recheck = () => recheckSession(session, source, expected.authorize)
  onRecheck(session, recheck)
  const stop = expected.onTrustWithdrawn === 'keep' ? undefined : source.onUpdate?.(recheck)
  session.once('close', () => stop?.())
  return session
}

/** Ends a session whose server would be refused now. One that is closing may still have requests in progress. */
export function recheckSession(session: ClientHttp2Session, source: IdentitySource, authorizer?: Authorizer): void {
  if (!authorizer || session.destroyed) return
  const refusal = recheckPeer(session.socket, source, authorizer)
  if (refusal) session.destroy(refusal)
}

export function openSession(
  authority: string | URL,
  tls: SpiffeClientTlsOptions,
  options: Http2ClientOptions,
): ClientHttp2Session {
  const url = new URL(authority)
  if (url.protocol !== 'https:') {
    throw new InvalidInputError(
      'ERR_PLAINTEXT_REFUSED',
      `the origin ${url.protocol}//${url.host} is not https:, so nobody would be proved; no connection was made`,
    )
  }
  refuseCipherPolicy(options.sessionOptions)
  const expectsSvid = options.authorize !== undefined
  const session = connect(url, {
    ...options.sessionOptions,
    ...neverSet,
    ...tls,
    // What Node does without it, except that here the socket can be reached before it connects.
    createConnection: (to, given) => {
      const host = to.hostname.replace(/^\[(.*)\]$/, '$1')
      const { servername = isIP(host) === 0 ? host : undefined } = given as SecureClientSessionOptions
      const names = servername === undefined ? { host } : { host, servername }
      const socket = connectTls({ ...given, ...names, port: Number(to.port || 443), ALPNProtocols: ['h2'] })
      return expectsSvid ? refuseInOurWords(socket) : socket
    },
  })
  // The session shows its socket through a Proxy, which passes on what is stored on the socket here.
  session.prependOnceListener('connect', (_session, socket) => void callerOf(socket))
  return session
}

/** For callers without types: Node would not read these, and the caller would not know. */
function refuseCipherPolicy(sessionOptions: object = {}): void {
  const misplaced = cipherPolicyNames.find((name) => name in sessionOptions)
  if (misplaced === undefined) return
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `${misplaced} stands in sessionOptions, where it has no effect; write it beside authorize`,
  )
}

/** For callers without types: these options would bring another protocol. */
const neverSet = {
  ALPNProtocols: undefined,
  protocol: 'https:',
} as const satisfies Record<string, undefined | 'https:'>
