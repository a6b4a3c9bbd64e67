import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2SecureServer, Http2Session } from 'node:http2'
import type { Server } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { inspect } from 'node:util'
import { InvalidInputError } from '../../errors/index.js'
import { beforeListeners, longestTimerMs } from '../../flow/index.js'

/** Connections of many clients that were opened together shall not all end together. */
const jitter = 0.1

/**
 * Reads the option `maxConnectionAgeMs`.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT`.
 */
export function readMaxConnectionAge(maxAgeMs: unknown = Infinity): number {
  if (typeof maxAgeMs === 'number' && maxAgeMs > 0) return maxAgeMs
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `maxConnectionAgeMs is ${inspect(maxAgeMs)}; expected a number of milliseconds, more than 0`,
  )
}

/**
 * Ends connections gracefully once they are older than `maxAgeMs`, so that their peers come back and prove themselves
 * anew: HTTP/1 with `connection: close`, HTTP/2 with GOAWAY. Requests in progress finish. A connection that an upgrade or a
 * CONNECT has taken over is ended as it is.
 */
export function drainOldConnections(server: Server | Http2SecureServer, maxAgeMs: number): void {
  if (maxAgeMs === Infinity) return
  const connections = new WeakMap<object, AgingConnection>()
  const isHttp2 = (socket: TLSSocket) => socket.alpnProtocol === 'h2'

  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.destroyed || isHttp2(socket)) return
    const connection = new AgingConnection(socket)
    connections.set(socket, connection)
    startAge(socket, maxAgeMs, () => connection.retire())
  })
  const events = server as NodeJS.EventEmitter
  events.on('session', (session: Http2Session) => startAge(session, maxAgeMs, () => session.close()))
  // No listeners of ours: to listen for an expectation means to answer it.
  beforeListeners(server, (event, args) => {
    if (requestEvents.has(event)) {
      const [request, response] = args as [IncomingMessage, ServerResponse]
      if (request.httpVersionMajor === 1) connections.get(request.socket)?.serve(response)
    }
    return true
  })
}

const requestEvents: ReadonlySet<string | symbol> = new Set(['request', 'checkContinue', 'checkExpectation'])

/** An HTTP/1 connection: it may go when it is old and nothing is in progress on it. */
class AgingConnection {
  readonly #socket: TLSSocket
  readonly #inProgress = new Set<ServerResponse>()
  #retired = false

  constructor(socket: TLSSocket) {
    this.#socket = socket
  }

  /** May be called twice for one: whoever checked what a request expects emits it anew. */
  serve(response: ServerResponse): void {
    if (this.#retired) sayLast(response)
    this.#inProgress.add(response)
    response.once('close', () => {
      this.#inProgress.delete(response)
      this.#endIfIdle()
    })
  }

  retire(): void {
    this.#retired = true
    this.#inProgress.forEach(sayLast)
    this.#endIfIdle()
  }

  #endIfIdle(): void {
    if (this.#retired && this.#inProgress.size === 0) this.#socket.destroySoon()
  }
}

function sayLast(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
}

function startAge(connection: NodeJS.EventEmitter, maxAgeMs: number, retire: () => void): void {
  let leftMs = maxAgeMs * (1 - jitter + 2 * jitter * Math.random())
  let timer: NodeJS.Timeout
  const wait = () => {
    const ms = Math.min(leftMs, longestTimerMs)
    leftMs -= ms
    timer = setTimeout(() => (leftMs > 0 ? wait() : retire()), ms).unref()
  }
  wait()
  connection.once('close', () => clearTimeout(timer))
}
