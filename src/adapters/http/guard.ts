import type { IncomingMessage } from 'node:http'
import type { Http2SecureServer, Http2Session, Http2Stream } from 'node:http2'
import type { Server } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { beforeListeners } from '../../flow/index.js'
import { isAdmitted } from '../../tls/index.js'
import { answerForbidden, answerForbiddenRaw, answerForbiddenStream } from './answer-forbidden.js'

/** How to refuse what an event announces, and on which connection it came. */
interface Guarded {
  socketOf: (subject: never) => unknown
  refuse: (...args: never[]) => void
}

/**
 * Answers 403 to every request on a connection that is not admitted, before any listener of the server sees it,
 * whenever that listener was added.
 */
export function guardRequests(server: Server | Http2SecureServer): void {
  beforeListeners(server, (event, args) => {
    const guarded = guardedEvents.get(event)
    if (!guarded || isAdmitted(guarded.socketOf(args[0] as never))) return true
    guarded.refuse(...(args as never[]))
    return false
  })
}

const socketOfMessage = (message: IncomingMessage) => message.socket
const message: Guarded = { socketOf: socketOfMessage, refuse: answerForbidden }
const takenOver: Guarded = { socketOf: socketOfMessage, refuse: answerForbiddenRaw }

const guardedEvents = new Map<string | symbol, Guarded>([
  ['request', message],
  ['checkContinue', message],
  ['checkExpectation', message],
  ['upgrade', takenOver],
  ['connect', takenOver],
  ['stream', { socketOf: (stream: Http2Stream) => stream.session?.socket, refuse: answerForbiddenStream }],
  // A client that speaks no HTTP/2: there is no protocol to answer it in.
  ['unknownProtocol', { socketOf: (socket: TLSSocket) => socket, refuse: (socket: TLSSocket) => socket.destroy() }],
  // Kept from the application, which could listen to the streams of a session directly.
  ['session', { socketOf: (session: Http2Session) => session.socket, refuse: () => undefined }],
])
