import { connect as connectHttp2 } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { afterSilence } from '../../flow/index.js'
import type { Endpoint } from '../endpoint.js'
import { Call } from './call.js'
import type { CallHandlers, CallRequest } from './call.js'
import { connect, unreachable } from './connect.js'
import { Keepalive } from './keepalive.js'
import type { KeepaliveOptions } from './keepalive.js'
import { Status } from './status.js'
import type { CallStatus } from './status.js'

export interface ConnectionOptions extends KeepaliveOptions {
  /** Longest time until the HTTP/2 connection stands. */
  connectTimeoutMs: number
  /** Largest message that is received. */
  maxMessageBytes: number
}

export interface OpenStream {
  cancel: () => void
}

/** How a unary call failed. Internal to this folder: callers see a `WorkloadApiError`. */
export class CallFailed extends Error {
  readonly status: CallStatus

  constructor(status: CallStatus) {
    super(`status ${status.code}`)
    this.status = status
  }
}

const lost: CallStatus = { code: Status.unavailable, details: 'the connection was lost' }

/**
 * One HTTP/2 connection to an agent: used until it breaks, then thrown away. It never reconnects by itself and it never
 * holds the process. A gRPC library would do both, and more than double the time of a start (test/bench/start).
 */
export class Connection {
  readonly #session: ClientHttp2Session
  readonly #socket: Socket
  readonly #options: ConnectionOptions
  readonly #keepalive: Keepalive
  readonly #calls = new Set<Call>()
  #retired = false
  #closed = false
  /** Called once, when the connection is closed. */
  onClose: () => void = () => undefined

  private constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket
    this.#options = options
    this.#session = connectHttp2('http://localhost', {
      createConnection: () => socket,
      settings: { enablePush: false },
    })
    this.#session.unref()
    this.#keepalive = new Keepalive(this.#session, options, () => this.#calls.size > 0)
    this.#session
      // Whatever went wrong, its calls end with a status.
      .on('error', () => undefined)
      // The agent will go. Calls that it has not seen are reset by HTTP/2 itself.
      .once('goaway', () => this.retire())
      .once('close', () => this.close())
  }

  /**
   * Connects and waits until HTTP/2 stands.
   * @throws WorkloadApiError with code `ERR_WORKLOAD_API_UNAVAILABLE`, or the signal's reason.
   */
  static async open(endpoint: Endpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    const begun = performance.now()
    const socket = await connect(endpoint, options.connectTimeoutMs, signal)
    const leftMs = Math.max(1, options.connectTimeoutMs - (performance.now() - begun))
    const connection = new Connection(socket, options)
    try {
      if (await connection.#ready(leftMs, signal)) return connection
      throw unreachable(endpoint, new Error('what listens there does not speak HTTP/2, or hung up; check the address'))
    } catch (error) {
      connection.close()
      throw error
    }
  }

  /** False from the moment the connection broke, or the agent announced that it will close it. */
  get usable(): boolean {
    return !this.#retired && !this.#closed && !this.#session.closed && !this.#session.destroyed
  }

  /** Starts a server stream. */
  stream(request: CallRequest, handlers: CallHandlers): OpenStream {
    let cancelled = false
    const call = this.#call(request, {
      onMessage: handlers.onMessage,
      onEnd: (status) => {
        if (!cancelled) handlers.onEnd(status)
      },
    })
    return {
      cancel: () => {
        cancelled = true
        call?.cancel()
        if (call) this.#finish(call)
      },
    }
  }

  /**
   * Makes a unary call.
   * @throws CallFailed, or the signal's reason.
   */
  unary(request: CallRequest, signal: AbortSignal): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      let response: Uint8Array | undefined
      let messages = 0
      const onAbort = () => {
        stream.cancel()
        // The signal's reason is passed on unchanged.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal.reason)
      }
      const stream = this.stream(request, {
        onMessage: (bytes) => {
          messages++
          response = bytes
        },
        onEnd: (status) => {
          signal.removeEventListener('abort', onAbort)
          if (status.code !== Status.ok) reject(new CallFailed(status))
          else if (response && messages === 1) resolve(response)
          else reject(new CallFailed({ code: Status.internal, details: `${messages} messages, expected one` }))
        },
      })
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Takes no new calls, and closes when those under way have ended. */
  retire(): void {
    this.#retired = true
    if (this.#calls.size === 0) this.close()
  }

  /** Ends every call and the connection, at once. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#keepalive.stop()
    for (const call of this.#calls) call.fail(lost)
    // Let the cancellations out first; a peer that does not read must not keep the socket.
    setImmediate(() => {
      this.#session.destroy()
      this.#socket.destroy()
    })
    this.onClose()
  }

  #call(request: CallRequest, handlers: CallHandlers): Call | undefined {
    let call: Call | undefined
    const ending: CallHandlers = {
      onMessage: (bytes) => {
        this.#keepalive.heard()
        handlers.onMessage(bytes)
      },
      onEnd: (status) => {
        if (call) this.#finish(call)
        // HTTP/2 refuses calls itself on a connection that it gave up after a fault, and says nothing else of that.
        if (call?.refused) this.retire()
        handlers.onEnd(status)
      },
    }
    try {
      call = new Call(this.#session, request, this.#options.maxMessageBytes, ending)
      this.#calls.add(call)
      return call
    } catch {
      // The session ended a moment ago.
      setImmediate(() => ending.onEnd(lost))
      return undefined
    }
  }

  #finish(call: Call): void {
    this.#calls.delete(call)
    if (this.#retired && this.#calls.size === 0) this.close()
  }

  /** Waits for the first word of HTTP/2; false when none comes. */
  #ready(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const settle = () => {
        stopWaiting()
        signal.removeEventListener('abort', onAbort)
        this.#session.off('remoteSettings', onSettings).off('close', onFailure)
      }
      const onSettings = () => {
        settle()
        resolve(true)
      }
      const onFailure = () => {
        settle()
        resolve(false)
      }
      const onAbort = () => {
        settle()
        // The signal's reason is passed on unchanged.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal.reason)
      }
      const stopWaiting = afterSilence(timeoutMs, onFailure)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#session.once('remoteSettings', onSettings).once('close', onFailure)
    })
  }
}
