import type { Socket } from 'node:net'
import { Client, connectivityState, Metadata } from '@grpc/grpc-js'
import type { ClientReadableStream } from '@grpc/grpc-js'
import type { Endpoint } from '../endpoint.js'
import { QuietCredentials } from './quiet-credentials.js'
import { reach, unreachable } from './reach.js'
import type { CallStatus } from './status.js'

export interface ConnectionOptions {
  /** Longest time until the HTTP/2 connection stands. */
  connectTimeoutMs: number
  /** Largest message that is received. */
  maxMessageBytes: number
  /** Silence after which an HTTP/2 ping asks whether the agent is alive. */
  keepaliveMs: number
  /** How long that ping may take. */
  keepaliveTimeoutMs: number
}

/** What a server stream calls back. Nothing is called after `cancel()`. */
export interface StreamHandlers {
  onMessage: (bytes: Uint8Array) => void
  onEnd: (status: CallStatus) => void
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

/** Request and response stay bytes here: a message that cannot be decoded must not end the stream. */
const same = ({ buffer, byteOffset, byteLength }: Uint8Array) => Buffer.from(buffer, byteOffset, byteLength)
const keep = (bytes: Buffer): Uint8Array => bytes

/** grpc-js leaves the details out of a status that it makes itself when it cannot decompress a message. */
function complete({ code, details = '' }: Partial<CallStatus> & Pick<CallStatus, 'code'>): CallStatus {
  return { code, details }
}

function targetOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  return endpoint.host.includes(':')
    ? `ipv6:[${endpoint.host}]:${endpoint.port}`
    : `ipv4:${endpoint.host}:${endpoint.port}`
}

function metadataOf(entries: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value)
  return metadata
}

/**
 * One HTTP/2 connection to an agent: used until it breaks, then thrown away. It never reconnects by itself, so grpc-js's
 * own backoff never delays anyone, and it never holds the process.
 */
export class Connection {
  readonly #client: Client
  readonly #calls = new Set<{ cancel: () => void }>()
  #socket: Socket | undefined
  #usable = false
  #closed = false
  #retired = false
  /** Called once, when the connection is closed. */
  onClose: () => void = () => undefined

  private constructor(endpoint: Endpoint, options: ConnectionOptions) {
    const credentials = new QuietCredentials((socket) => {
      this.#socket = socket
      if (this.#closed) socket.destroy()
    })
    this.#client = new Client(targetOf(endpoint), credentials, {
      'grpc.default_authority': 'localhost',
      // The Workload API is local: never through a proxy, whatever http_proxy says.
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.enable_channelz': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.client_idle_timeout_ms': 0x7fff_ffff,
      'grpc.max_receive_message_length': options.maxMessageBytes,
      'grpc.keepalive_time_ms': options.keepaliveMs,
      'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
      // A channel whose connection failed tries once more after this time, even when it was closed meanwhile.
      'grpc.initial_reconnect_backoff_ms': 1,
      'grpc.max_reconnect_backoff_ms': 1,
    })
  }

  /**
   * Connects and waits until HTTP/2 stands.
   * @param ask - Ask with a bare socket first whether somebody listens: cheap while an agent is away.
   * @throws WorkloadApiError with code `ERR_WORKLOAD_API_UNAVAILABLE`, or the signal's reason.
   */
  static async open(
    endpoint: Endpoint,
    options: ConnectionOptions,
    ask: boolean,
    signal: AbortSignal,
  ): Promise<Connection> {
    // A TCP connection can take minutes to fail, and would hold the process all that time.
    if (ask || endpoint.kind === 'tcp') await reach(endpoint, options.connectTimeoutMs, signal)
    signal.throwIfAborted()
    const connection = new Connection(endpoint, options)
    try {
      if (await connection.#ready(options.connectTimeoutMs, signal)) return connection
      connection.close()
      await reach(endpoint, options.connectTimeoutMs, signal)
      throw unreachable(endpoint, new Error('what listens there does not speak HTTP/2, or hung up; check the address'))
    } catch (error) {
      connection.close()
      throw error
    }
  }

  /** False from the moment the connection broke, or the agent announced that it will close it. */
  get usable(): boolean {
    return this.#usable && !this.#retired && !this.#closed
  }

  /** Starts a server stream. */
  stream(
    path: string,
    request: Uint8Array,
    metadata: Readonly<Record<string, string>>,
    handlers: StreamHandlers,
  ): OpenStream {
    const call: ClientReadableStream<Uint8Array> = this.#client.makeServerStreamRequest(
      path,
      same,
      keep,
      request,
      metadataOf(metadata),
    )
    let done = false
    const open = {
      cancel: () => {
        if (done) return
        done = true
        call.cancel()
        this.#finish(open)
      },
    }
    this.#calls.add(open)
    call.on('data', (bytes: Uint8Array) => {
      if (!done) handlers.onMessage(bytes)
    })
    // The same outcome comes as a status.
    call.on('error', () => undefined)
    call.on('status', (status: Partial<CallStatus> & Pick<CallStatus, 'code'>) => {
      if (done) return
      done = true
      handlers.onEnd(complete(status))
      this.#finish(open)
    })
    return open
  }

  /**
   * Makes a unary call.
   * @throws CallFailed, or the signal's reason.
   */
  unary(
    path: string,
    request: Uint8Array,
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const onAbort = () => {
        call.cancel()
        // The signal's reason is passed on unchanged.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal.reason)
      }
      const call = this.#client.makeUnaryRequest(path, same, keep, request, metadataOf(metadata), (error, response) => {
        signal.removeEventListener('abort', onAbort)
        this.#finish(call)
        if (error) reject(new CallFailed(complete(error)))
        else if (response) resolve(response)
        else reject(new CallFailed({ code: 13, details: 'no message' }))
      })
      this.#calls.add(call)
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
    this.onClose()
    for (const call of [...this.#calls]) call.cancel()
    this.#client.close()
    // Let the cancellations out first; a peer that does not read must not keep the socket.
    const socket = this.#socket
    if (socket) setImmediate(() => socket.destroy())
  }

  #finish(call: { cancel: () => void }): void {
    this.#calls.delete(call)
    if (this.#retired && this.#calls.size === 0) this.close()
  }

  /** Waits for the connection; false when it failed. Afterwards follows it until it breaks. */
  #ready(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const channel = this.#client.getChannel()
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        outcome()
      }
      const onAbort = () => {
        settle(() => {
          // The signal's reason is passed on unchanged.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(signal.reason)
        })
      }
      const timer = setTimeout(() => {
        settle(() => {
          resolve(false)
        })
      }, timeoutMs)
      timer.unref()
      signal.addEventListener('abort', onAbort, { once: true })
      const follow = () => {
        if (this.#closed) return
        const state = channel.getConnectivityState(!this.#usable)
        if (state === connectivityState.READY) {
          this.#usable = true
          settle(() => {
            resolve(true)
          })
        } else if (this.#usable) {
          this.#usable = false
          return
        } else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) {
          settle(() => {
            resolve(false)
          })
          return
        }
        channel.watchConnectivityState(state, Infinity, follow)
      }
      follow()
    })
  }
}
