import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import { InvalidInputError, UntrustedPeerError } from '../../errors/index.js'
import { inOurWords } from '../../tls/index.js'
import type { SpiffeClientTlsOptions } from '../../tls/index.js'

export interface ConnectorOptions {
  allowH2: boolean
  connectTimeoutMs: number
  /** How the addresses of a host are tried; undici leaves that to the connector. */
  addresses: { autoSelectFamily?: boolean; autoSelectFamilyAttemptTimeout?: number }
  /** Whether the server is to prove a SPIFFE ID; an ordinary web server is refused in Node's own words. */
  expectsSvid: boolean
  /** Called with each connection that has proved its server. */
  onConnected: (socket: Duplex) => void
}

/** Opens connections whose server has proved itself, and no other kind. */
export function provingConnector(tls: SpiffeClientTlsOptions, options: ConnectorOptions): buildConnector.connector {
  const { allowH2, connectTimeoutMs } = options
  const connect = buildConnector({ ...options.addresses, ...tls, allowH2, timeout: connectTimeoutMs })
  return (target, callback) => {
    // Every origin passes here, that of a redirect as well.
    if (target.protocol !== 'https:') {
      callback(
        new InvalidInputError(
          'ERR_PLAINTEXT_REFUSED',
          `the origin ${target.protocol}//${target.host ?? target.hostname} is not https:, ` +
            'so nobody would be proved; not sent',
        ),
        null,
      )
      return
    }
    try {
      connect(target, (...[error, socket]) => {
        if (error) {
          callback(options.expectsSvid ? inOurWords(error) : error, null)
        } else if (socket instanceof TLSSocket && socket.authorized && !socket.isSessionReused()) {
          options.onConnected(socket)
          callback(null, socket)
        } else {
          socket.destroy()
          callback(new UntrustedPeerError('ERR_PEER_NOT_PROVED', 'the server proved nothing on this connection'), null)
        }
      })
    } catch (error) {
      // The source has no valid SVID.
      callback(error instanceof Error ? error : new Error(String(error)), null)
    }
  }
}
