import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { callerOf } from '../../tls/index.js'
import { forbidden, problemType } from './problem.js'

/** How long a refused client may go on sending its body, so that it gets to read the answer. */
const lingerMs = 2_000

/** Answers an HTTP/1 request and ends its connection. */
export function answerForbidden(request: IncomingMessage, response: ServerResponse): void {
  const body = bodyFor(request.socket)
  response.writeHead(403, {
    'content-type': problemType,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  if (request.complete || !expectsBody(request)) {
    response.end(body)
    return
  }
  // Closing while the client still sends would reset the connection under the answer, so its body is read first.
  response.write(body)
  const end = () => {
    clearTimeout(timer)
    response.end()
  }
  const timer = setTimeout(end, lingerMs)
  timer.unref()
  request.once('end', end).once('close', end).resume()
}

/** Answers on the bare connection of an HTTP/1 upgrade or CONNECT. */
export function answerForbiddenRaw(request: IncomingMessage, socket: Duplex): void {
  const body = bodyFor(request.socket)
  const head = [
    'HTTP/1.1 403 Forbidden',
    `content-type: ${problemType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.on('error', () => undefined)
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}

/** Answers an HTTP/2 stream; its session ends once nothing is open on it. */
export function answerForbiddenStream(stream: ServerHttp2Stream): void {
  stream.on('error', () => undefined)
  // Reset before its event came: an answer would throw, out of the event and out of the process. It has no session either,
  // so that this may be the stream of an admitted client.
  if (stream.destroyed || stream.closed) return
  const { session } = stream
  stream.respond({ ':status': 403, 'content-type': problemType })
  stream.end(bodyFor(session?.socket))
  session?.close()
}

function bodyFor(socket: unknown): string {
  return JSON.stringify(forbidden(callerOf(socket)))
}

function expectsBody({ headers }: IncomingMessage): boolean {
  // A client that waits for "100 Continue" sends nothing more once it reads 403.
  if (headers.expect !== undefined) return false
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
