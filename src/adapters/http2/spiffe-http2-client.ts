import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  ClientSessionRequestOptions,
  OutgoingHttpHeaders,
} from 'node:http2'
import { ClosedError } from '../../errors/index.js'
import { createTlsOptionsForClient, onRecheck, withAuthorizer } from '../../tls/index.js'
import type { Authorizer, IdentitySource, SpiffeClientTlsOptions } from '../../tls/index.js'
import { openSession, recheckSession } from './connect-http2.js'
import type { Http2ClientOptions } from './connect-http2.js'

/**
 * HTTP/2 requests to one server that has proved its SPIFFE ID, on a session that is opened when needed and replaced when
 * the SVID rotates. Requests in progress finish on the session where they began.
 */
export class SpiffeHttp2Client {
  readonly #source: IdentitySource
  readonly #authority: URL
  readonly #options: Http2ClientOptions & { authorize?: Authorizer | undefined }
  readonly #tls: SpiffeClientTlsOptions
  /** Each with the number of its requests in progress. */
  readonly #sessions = new Map<ClientHttp2Session, number>()
  readonly #retired = new WeakSet<ClientHttp2Session>()
  readonly #stop: (() => void) | undefined
  #current: { readonly session: ClientHttp2Session; readonly svid: unknown } | undefined
  #closed = false

  /**
   * @param authority - An `https:` URL.
   * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or `ERR_SPIFFE_ID_INVALID`.
   */
  constructor(source: IdentitySource, authority: string | URL, options: Http2ClientOptions) {
    this.#source = source
    this.#authority = new URL(authority)
    this.#options = withAuthorizer(options)
    this.#tls = createTlsOptionsForClient(source, this.#options)
    this.#stop = source.onUpdate?.(() => this.#update())
    onRecheck(this, () => this.#recheck())
  }

  /**
   * Starts a request. Where the server is not accepted, the stream ends with an error whose `cause` says why.
   * @throws ClosedError; InvalidInputError with code `ERR_PLAINTEXT_REFUSED`; what the source throws when it has no valid
   * SVID.
   */
  request(headers?: OutgoingHttpHeaders, options?: ClientSessionRequestOptions): ClientHttp2Stream {
    const session = this.#session()
    const stream = session.request(headers, options)
    this.#hold(session, stream)
    return stream
  }

  /** Resolves when the requests in progress have finished; new ones are refused. It lets go of the source then. */
  async close(): Promise<void> {
    this.#end()
    await Promise.all([...this.#sessions.keys()].map((session) => closed(session, () => this.#retire(session))))
  }

  /** Ends the requests in progress. */
  destroy(error?: Error): void {
    this.#end()
    for (const session of this.#sessions.keys()) session.destroy(error)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** A request in progress keeps the process alive; an idle session does not. */
  #hold(session: ClientHttp2Session, stream: ClientHttp2Stream): void {
    const open = (this.#sessions.get(session) ?? 0) + 1
    this.#sessions.set(session, open)
    if (open === 1) session.ref()
    stream.once('close', () => {
      const left = (this.#sessions.get(session) ?? 1) - 1
      if (this.#sessions.has(session)) this.#sessions.set(session, left)
      if (left > 0 || session.destroyed) return
      session.unref()
      if (this.#retired.has(session)) session.close()
    })
  }

  /**
   * Closes a session once nothing is in progress on it. Closed earlier, it would overtake requests that wait for the
   * connection or for their turn to be written, and they would be refused.
   */
  #retire(session: ClientHttp2Session): void {
    this.#retired.add(session)
    if (!this.#sessions.get(session)) session.close()
  }

  #end(): void {
    this.#closed = true
    this.#letGo()
  }

  /** Requests in progress are to end with the trust in their server until the last of them has finished. */
  #letGo(): void {
    if (this.#closed && this.#sessions.size === 0) this.#stop?.()
  }

  #session(): ClientHttp2Session {
    if (this.#closed) throw new ClosedError('the HTTP/2 client')
    const svid = this.#source.getX509Svid()
    if (this.#current?.svid === svid && !isOver(this.#current.session)) return this.#current.session
    if (this.#current) this.#retire(this.#current.session)
    const session = openSession(this.#authority, this.#tls, this.#options)
    this.#sessions.set(session, 0)
    session.once('close', () => {
      this.#sessions.delete(session)
      this.#letGo()
    })
    // Each stream tells its own request; without a listener here the same error would end the process.
    session.on('error', () => undefined)
    session.unref()
    this.#current = { session, svid }
    return session
  }

  #update(): void {
    if (this.#current && this.#current.svid !== this.#svidOrNone()) {
      this.#retire(this.#current.session)
      this.#current = undefined
    }
    if (this.#options.onTrustWithdrawn !== 'keep') this.#recheck()
  }

  #recheck(): void {
    for (const session of this.#sessions.keys()) recheckSession(session, this.#source, this.#options.authorize)
  }

  #svidOrNone(): unknown {
    try {
      return this.#source.getX509Svid()
    } catch {
      return undefined
    }
  }
}

function closed(session: ClientHttp2Session, close: () => void): Promise<void> {
  return new Promise((resolve) => {
    session.once('close', resolve)
    close()
  })
}

function isOver(session: ClientHttp2Session): boolean {
  return session.closed || session.destroyed
}
