import { UntrustedPeerError, WorkloadApiError } from '../errors/index.js'
import { afterSilence } from '../flow/index.js'
import type { Dialect, DialectName } from './dialects/dialect.js'
import { KnownDialect } from './dialects/known-dialect.js'
import { standardDialect } from './dialects/standard.js'
import type { Endpoint } from './endpoint.js'
import type { IcpMetadata } from './icp-metadata.js'
import { CallFailed } from './wire/connection.js'
import type { Connection, ConnectionOptions, OpenStream } from './wire/connection.js'
import { ConnectionKeeper } from './wire/connection-keeper.js'
import { errorOfStatus, Status } from './wire/status.js'
import type { CallStatus } from './wire/status.js'

/** The streams of the Workload API. */
export type StreamMethod = 'x509Svids' | 'x509Bundles' | 'jwtBundles'

export interface AgentStreamHandlers {
  onMessage: (bytes: Uint8Array, dialect: Dialect) => void
  onEnd: (end: StreamEnd) => void
  onWarning?: (message: string) => void
}

export interface StreamEnd {
  readonly status: CallStatus
  readonly error: WorkloadApiError
  /** The connection under the stream broke: no answer of the agent. */
  readonly broken: boolean
  /** The dialect in which the agent answered. */
  readonly dialect: DialectName
}

export interface AgentOptions extends ConnectionOptions {
  readonly dialect: DialectName | 'auto'
  /** What an ICP agent is told about this workload; made when it is first needed. */
  readonly icpMetadata: () => IcpMetadata
  /** Longest silence before the first message of a stream. */
  readonly firstMessageTimeoutMs: number
}

/** One unary call, once the dialect is known. */
export interface UnaryCall<T> {
  readonly path: string
  readonly request: Uint8Array
  readonly read: (response: Uint8Array) => T
  /** Text of the request that must not appear in a message. */
  readonly secret?: string | undefined
}

/** Metadata that every request carries, exactly once (Workload Endpoint §3). */
const securityMetadata = { 'workload.spiffe.io': 'true' }

/** The requests of all streams are empty messages. */
const nothing = new Uint8Array(0)

/** Whether a call was ended because no answer came in time: its connection may be dead without knowing it. */
export function endedByDeadline({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof WorkloadApiError && reason.code === 'ERR_TIMEOUT'
}

/** One agent: its connection, and the dialect that it speaks. */
export class Agent {
  readonly endpoint: Endpoint
  readonly firstMessageTimeoutMs: number
  readonly #connections: ConnectionKeeper
  readonly #dialect: KnownDialect
  readonly #icpMetadata: () => IcpMetadata
  #metadata: IcpMetadata | undefined
  /** Its warnings that nobody has heard yet: not every call has somebody who listens. */
  #untold: readonly string[] = []

  constructor(endpoint: Endpoint, options: AgentOptions) {
    this.endpoint = endpoint
    this.firstMessageTimeoutMs = options.firstMessageTimeoutMs
    this.#connections = new ConnectionKeeper(endpoint, options)
    this.#dialect = new KnownDialect(options.dialect)
    this.#icpMetadata = options.icpMetadata
  }

  get dialect(): DialectName | undefined {
    return this.#dialect.value?.name
  }

  /**
   * Connects when necessary, and finds out the dialect when the call cannot do so itself.
   * Rejects with a `WorkloadApiError`, or the signal's reason.
   */
  async connect(method: StreamMethod | 'unary', signal: AbortSignal): Promise<Connection> {
    const connection = await this.#connections.get(signal)
    if (method !== 'x509Svids' && (!this.#dialect.value || this.#dialect.wantsAttestation(connection))) {
      await this.#identify(connection, signal)
    }
    return connection
  }

  /** The next call gets a connection of its own: this one may be dead without knowing it. */
  renew(connection: Connection): void {
    this.#connections.renew(connection)
  }

  /** The error for a stream through which nothing came. */
  silence(): WorkloadApiError {
    return new WorkloadApiError(
      'ERR_TIMEOUT',
      `the agent at ${this.endpoint.text} opened the stream and sent nothing for ${this.firstMessageTimeoutMs} ms; check its log`,
      { endpoint: this.endpoint.text },
    )
  }

  close(): void {
    this.#connections.close()
  }

  /** Opens a stream. Nothing is called back after `cancel()`. */
  stream(connection: Connection, method: StreamMethod, handlers: AgentStreamHandlers): OpenStream {
    if (method === 'x509Svids') return this.#x509Stream(connection, handlers)
    const dialect = this.#dialect.value ?? standardDialect
    const path = dialect.paths[method]
    const request = { path, message: nothing, metadata: securityMetadata }
    this.#tellWarnings(handlers)
    return connection.stream(request, {
      onMessage: (bytes) => handlers.onMessage(bytes, dialect),
      onEnd: (status) => {
        this.#dialect.doubt(status.code)
        if (status.code === Status.unimplemented && this.#dialect.mayHaveChanged(connection)) {
          // Not final yet: the next attempt asks in which dialect.
          this.#dialect.forget()
          handlers.onEnd(this.#end(connection, dialect, { ...status, code: Status.unavailable }, path))
        } else handlers.onEnd(this.#end(connection, dialect, status, path))
      },
    })
  }

  /** Makes a unary call. Rejects with a `WorkloadApiError`, or the signal's reason. */
  async call<T>(make: (dialect: Dialect) => UnaryCall<T>, signal: AbortSignal): Promise<T> {
    const wasAttested = this.#dialect.attestation
    const connection = await this.connect('unary', signal)
    const dialect = this.#dialect.value ?? standardDialect
    try {
      return await this.#unary(connection, make(dialect), signal)
    } catch (error) {
      if (endedByDeadline(signal)) this.renew(connection)
      if (!(error instanceof WorkloadApiError)) throw error
      this.#dialect.doubt(error.grpcStatus)
      // What it was attested by may have run out at the agent since.
      const again = this.#dialect.wantsAttestation(connection) && wasAttested === connection
      if (!again && (error.grpcStatus !== Status.unimplemented || !this.#dialect.mayHaveChanged(connection)))
        throw error
      await this.#identify(connection, signal)
      if (!again && (this.#dialect.value === dialect || !this.#dialect.value)) throw error
      return this.#unary(connection, make(this.#dialect.value ?? dialect), signal)
    }
  }

  /** Wraps what a decoder found wrong: `WorkloadApiError` with code `ERR_WORKLOAD_API_RESPONSE_INVALID`. */
  read<T>(path: string, decode: () => T): T {
    try {
      return decode()
    } catch (cause) {
      // A token that does not hold is the peer's fault, not the agent's.
      if (cause instanceof UntrustedPeerError) throw cause
      const what = cause instanceof Error ? cause.message : String(cause)
      throw new WorkloadApiError(
        'ERR_WORKLOAD_API_RESPONSE_INVALID',
        `the agent at ${this.endpoint.text} sent a message that cannot be used (${path}): ${what}`,
        { endpoint: this.endpoint.text, grpcStatus: Status.ok, cause },
      )
    }
  }

  async #unary<T>(connection: Connection, call: UnaryCall<T>, signal: AbortSignal): Promise<T> {
    const { path, request, read, secret } = call
    let response: Uint8Array
    try {
      response = await connection.unary({ path, message: request, metadata: securityMetadata }, signal)
    } catch (error) {
      if (error instanceof CallFailed) throw errorOfStatus(this.endpoint, path, error.status, secret)
      throw error
    }
    return this.read(path, () => read(response))
  }

  /** FetchX509SVID tells the dialect by itself: no second call is made for it. */
  #x509Stream(connection: Connection, handlers: AgentStreamHandlers): OpenStream {
    const order = this.#dialect.orderOn(connection)
    let current: OpenStream | undefined
    let cancelled = false
    const start = (index: number): void => {
      const dialect = order[index] as Dialect
      const path = dialect.paths.x509Svids
      let answered = false
      const request = { path, message: nothing, metadata: this.#x509Metadata(dialect, handlers) }
      // By whoever heard a warning about the metadata.
      if (cancelled) return
      current = connection.stream(request, {
        onMessage: (bytes) => {
          answered = true
          this.#dialect.serves(dialect, connection)
          handlers.onMessage(bytes, dialect)
        },
        onEnd: (status) => {
          this.#dialect.answers(status.code, dialect, connection)
          const unknownMethod = status.code === Status.unimplemented && !answered
          if (unknownMethod && index + 1 < order.length) {
            start(index + 1)
            return
          }
          if (unknownMethod) this.#dialect.forget()
          const tried = unknownMethod ? order.map(({ paths }) => paths.x509Svids).join(' and ') : path
          handlers.onEnd(this.#end(connection, dialect, status, tried))
        },
      })
    }
    start(0)
    return {
      cancel: () => {
        cancelled = true
        current?.cancel()
      },
    }
  }

  /** Asks in which dialect the agent answers FetchX509SVID, and takes nothing from the answer. */
  async #identify(connection: Connection, signal: AbortSignal): Promise<void> {
    let onAbort: (() => void) | undefined
    let stopWaiting: (() => void) | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        signal.throwIfAborted()
        const stream = this.#x509Stream(connection, {
          onMessage: () => {
            stream.cancel()
            resolve()
          },
          onEnd: ({ error }) => {
            if (this.#dialect.value) resolve()
            else reject(error)
          },
        })
        onAbort = () => {
          stream.cancel()
          // The signal's reason is passed on unchanged.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(signal.reason)
        }
        signal.addEventListener('abort', onAbort, { once: true })
        stopWaiting = afterSilence(this.firstMessageTimeoutMs, () => {
          stream.cancel()
          this.renew(connection)
          reject(this.silence())
        })
      })
    } finally {
      stopWaiting?.()
      if (endedByDeadline(signal)) this.renew(connection)
      if (onAbort) signal.removeEventListener('abort', onAbort)
    }
  }

  /** The environment goes to an ICP endpoint only. */
  #x509Metadata(dialect: Dialect, handlers: AgentStreamHandlers): Readonly<Record<string, string>> {
    if (dialect.name !== 'icp') return securityMetadata
    if (!this.#metadata) {
      this.#metadata = this.#icpMetadata()
      this.#untold = this.#metadata.warnings
    }
    this.#tellWarnings(handlers)
    return { ...this.#metadata.entries, ...securityMetadata }
  }

  #tellWarnings({ onWarning }: AgentStreamHandlers): void {
    if (!onWarning) return
    const untold = this.#untold
    this.#untold = []
    for (const warning of untold) onWarning(warning)
  }

  #end(connection: Connection, dialect: Dialect, status: CallStatus, path: string): StreamEnd {
    return {
      status,
      error: errorOfStatus(this.endpoint, path, status),
      broken: status.code === Status.unavailable && !connection.usable,
      dialect: dialect.name,
    }
  }
}
