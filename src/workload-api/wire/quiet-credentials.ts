import type { Socket } from 'node:net'
import { ChannelCredentials } from '@grpc/grpc-js'

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>

/**
 * Plaintext credentials that see the socket of each connection. They take the socket off the event loop for good:
 * grpc-js refs its session for as long as a call is open, and a stream that waits for rotations is open for ever.
 */
export class QuietCredentials extends ChannelCredentials {
  readonly #plain = ChannelCredentials.createInsecure()
  readonly #onSocket: (socket: Socket) => void

  constructor(onSocket: (socket: Socket) => void) {
    super()
    this.#onSocket = onSocket
  }

  override _isSecure(): boolean {
    return false
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this
  }

  override _createSecureConnector(...args: Parameters<ChannelCredentials['_createSecureConnector']>): Connector {
    const plain = this.#plain._createSecureConnector(...args)
    return {
      waitForReady: () => plain.waitForReady(),
      getCallCredentials: () => plain.getCallCredentials(),
      destroy: () => plain.destroy(),
      connect: (socket) => {
        socket.unref()
        // The HTTP/2 session passes ref() on to its socket; who awaits a call holds the process by other means.
        socket.ref = () => socket
        this.#onSocket(socket)
        return plain.connect(socket)
      },
    }
  }
}
