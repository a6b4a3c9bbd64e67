import { constants } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { Deframer, frame } from './framing.js'
import { Status } from './status.js'
import type { CallStatus } from './status.js'

export interface CallRequest {
  readonly path: string
  readonly message: Uint8Array
  readonly metadata: Readonly<Record<string, string>>
}

/** What a call tells. Nothing is called after `cancel()`, nor after `onEnd`. */
export interface CallHandlers {
  onMessage: (bytes: Uint8Array) => void
  onEnd: (status: CallStatus) => void
}

/**
 * Statuses of gRPC for what HTTP says instead of one. gRPC makes PERMISSION_DENIED, UNIMPLEMENTED and UNAUTHENTICATED of
 * 403, 404 and 401, and of one code of resets. We do not: those words take an identity away or end a watch for good, and
 * only the agent says them. Something else in its place has not.
 */
const statusOfHttp = new Map([
  [400, Status.internal],
  [401, Status.unavailable],
  [403, Status.unavailable],
  [404, Status.unavailable],
  [429, Status.unavailable],
  [502, Status.unavailable],
  [503, Status.unavailable],
  [504, Status.unavailable],
])
const statusOfReset = new Map<number, number>([
  [constants.NGHTTP2_REFUSED_STREAM, Status.unavailable],
  [constants.NGHTTP2_CANCEL, Status.cancelled],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, Status.unavailable],
  [constants.NGHTTP2_INADEQUATE_SECURITY, Status.unavailable],
])

/**
 * One gRPC call on an HTTP/2 session: one message up, any number down, a status at the end. A response that says no
 * status ends with one of ours, so that every call ends with exactly one.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
export class Call {
  readonly #stream: ClientHttp2Stream
  readonly #handlers: CallHandlers
  readonly #deframer: Deframer
  #status: CallStatus | undefined
  #done = false

  /** @throws When the session takes no more calls. */
  constructor(session: ClientHttp2Session, request: CallRequest, maxMessageBytes: number, handlers: CallHandlers) {
    this.#handlers = handlers
    this.#deframer = new Deframer(maxMessageBytes)
    this.#stream = session.request({
      ...request.metadata,
      ':method': 'POST',
      ':scheme': 'http',
      ':authority': 'localhost',
      ':path': request.path,
      te: 'trailers',
      'content-type': 'application/grpc',
      'grpc-accept-encoding': 'identity',
      'user-agent': 'authsec-sdk',
    })
    this.#stream
      .on('response', (headers) => this.#readHeaders(headers))
      .on('trailers', (headers: IncomingHttpHeaders) => (this.#status = statusIn(headers) ?? this.#status))
      .on('data', (octets: Buffer) => this.#read(octets))
      // The same outcome comes as the code of the reset, or as the end of the session.
      .on('error', () => undefined)
      .on('close', () => this.#end(this.#status ?? this.#withoutStatus(session)))
      .end(frame(request.message))
  }

  /** The other side did not look at this call. */
  get refused(): boolean {
    return this.#stream.rstCode === constants.NGHTTP2_REFUSED_STREAM
  }

  cancel(): void {
    this.#done = true
    this.#stream.close(constants.NGHTTP2_CANCEL)
  }

  /** Ends the call with a status of ours. */
  fail(status: CallStatus): void {
    this.#stream.close(constants.NGHTTP2_CANCEL)
    this.#end(status)
  }

  #readHeaders(headers: IncomingHttpHeaders): void {
    this.#status = statusIn(headers)
    if (this.#status) return
    const http = Number(headers[':status'])
    const type = headers['content-type'] ?? ''
    if (http !== 200) {
      this.fail({ code: statusOfHttp.get(http) ?? Status.unknown, details: `HTTP status ${http} instead of gRPC` })
    } else if (!/^application\/grpc(?:$|[+;])/.test(type)) {
      this.fail({ code: Status.unknown, details: 'the content type of the response is not that of gRPC' })
    }
  }

  #read(octets: Buffer): void {
    if (this.#done) return
    const { messages, fault } = this.#deframer.push(octets)
    for (const message of messages) {
      this.#handlers.onMessage(message)
      // A handler may cancel at any message.
      if (this.#isDone()) return
    }
    if (fault) this.fail(fault)
  }

  // A method, because the compiler would take the field for unchanged by a handler.
  #isDone(): boolean {
    return this.#done
  }

  #end(status: CallStatus): void {
    if (this.#done) return
    this.#done = true
    const torn = status.code === Status.ok && !this.#deframer.atBoundary
    this.#handlers.onEnd(torn ? { code: Status.internal, details: 'the last message is not whole' } : status)
  }

  #withoutStatus(session: ClientHttp2Session): CallStatus {
    if (session.destroyed || session.socket.destroyed) {
      return { code: Status.unavailable, details: 'the connection was lost' }
    }
    const code = this.#stream.rstCode
    if (code === constants.NGHTTP2_NO_ERROR) return { code: Status.unknown, details: 'the response has no gRPC status' }
    return {
      code: statusOfReset.get(code) ?? Status.internal,
      details: `the stream was reset with HTTP/2 code ${code}`,
    }
  }
}

/** The status that headers or trailers carry, if they do. */
function statusIn(headers: IncomingHttpHeaders): CallStatus | undefined {
  const text = headers['grpc-status']
  if (text === undefined) return undefined
  const valid = typeof text === 'string' && /^\d{1,3}$/.test(text)
  return { code: valid ? Number(text) : Status.unknown, details: percentDecoded(headers['grpc-message']) }
}

/** What is not well encoded stays as it is: the words of a status are for people. */
function percentDecoded(text: string | string[] | undefined): string {
  const whole = Array.isArray(text) ? text.join(', ') : (text ?? '')
  try {
    return decodeURIComponent(whole)
  } catch {
    return whole
  }
}
