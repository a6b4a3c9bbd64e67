import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { ChannelCredentials, credentials } from '@grpc/grpc-js'
import { UntrustedPeerError } from '../../errors/index.js'
import { createTlsOptionsForClient, inOurWords, onRecheck, recheckPeer, withAuthorizer } from '../../tls/index.js'
import type {
  Authorizer,
  ClientTlsOptions,
  IdentitySource,
  SpiffeClientTlsOptions,
  WithdrawnTrustOptions,
} from '../../tls/index.js'

export type GrpcClientOptions = ClientTlsOptions & WithdrawnTrustOptions

type CreateConnector = ChannelCredentials['_createSecureConnector']
type Connector = ReturnType<CreateConnector>

/**
 * Channel credentials for `@grpc/grpc-js` that present the newest SVID on each new connection and prove the server's
 * SPIFFE ID. Calls to a server that is not accepted fail with UNAVAILABLE and the reason in `details`.
 *
 * A connection keeps the SVID that it began with; a server ends it in time with `grpc.max_connection_age_ms`.
 * @throws InvalidInputError with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or `ERR_SPIFFE_ID_INVALID`.
 */
export function createGrpcChannelCredentials(source: IdentitySource, options: GrpcClientOptions): ChannelCredentials {
  return new SpiffeChannelCredentials(source, options)
}

class SpiffeChannelCredentials extends ChannelCredentials {
  readonly #source: IdentitySource
  /** Absent where an ordinary web server is called. */
  readonly #authorizer: Authorizer | undefined
  readonly #tls: SpiffeClientTlsOptions
  readonly #keepsUntrusted: boolean
  readonly #open = new Set<TLSSocket>()
  #stop: (() => void) | undefined

  constructor(source: IdentitySource, options: GrpcClientOptions) {
    super()
    this.#source = source
    const expected = withAuthorizer(options)
    this.#authorizer = expected.authorize
    this.#tls = createTlsOptionsForClient(source, expected)
    this.#keepsUntrusted = expected.onTrustWithdrawn === 'keep'
    onRecheck(this, () => this.#recheck())
  }

  override _isSecure(): boolean {
    return true
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other
  }

  override _createSecureConnector(...[target, options, callCredentials]: Parameters<CreateConnector>): Connector {
    const override = options['grpc.ssl_target_name_override']
    const host = typeof override === 'string' ? override : hostOf(target.path)
    return {
      connect: async (socket) => ({ socket: await this.#connect(socket, host), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? credentials.createEmpty(),
      destroy: () => undefined,
    }
  }

  #connect(tcp: Socket, host: string): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      // An address in the place of a name is an error from Node.js 26 on.
      const names = isIP(host) === 0 ? { host, servername: host } : { host }
      const socket = connect({ ...names, ...this.#tls, socket: tcp, ALPNProtocols: ['h2'] }, () => {
        if (!socket.authorized || socket.isSessionReused()) {
          socket.destroy()
          reject(new UntrustedPeerError('ERR_PEER_NOT_PROVED', 'the server proved nothing on this connection'))
          return
        }
        this.#watch(socket)
        resolve(socket)
      })
      socket.on('error', (error: Error) => reject(this.#authorizer ? inOurWords(error) : error))
    })
  }

  /** Credentials are never closed, so the source is listened to only while there are connections to end. */
  #watch(socket: TLSSocket): void {
    this.#open.add(socket)
    if (!this.#keepsUntrusted) this.#stop ??= this.#source.onUpdate?.(() => this.#recheck())
    socket.once('close', () => {
      this.#open.delete(socket)
      if (this.#open.size > 0) return
      this.#stop?.()
      this.#stop = undefined
    })
  }

  #recheck(): void {
    if (!this.#authorizer) return
    for (const socket of this.#open) {
      const refusal = recheckPeer(socket, this.#source, this.#authorizer)
      // Without the error: it would reach the calls as INTERNAL, and they are to end as UNAVAILABLE.
      if (refusal) socket.destroy()
    }
  }
}

/** `example.org` of `example.org:50051`, `::1` of `[::1]:50051`. */
function hostOf(target: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(target)
  return bracketed?.[1] ?? target.replace(/^\/+/, '').replace(/:\d*$/, '')
}
