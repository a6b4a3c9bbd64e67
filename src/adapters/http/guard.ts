import type { IncomingMessage } from 'node:http'
import type { Http2SecureServer, Http2Session, Http2Stream } from 'node:http2'
import type { Server } from 'node:https'
import type { Socket } from 'node:net'
import { beforeListeners } from '../../flow/index.js'
import { callerOf, isAdmitted } from '../../tls/index.js'
import { answerForbidden, answerForbiddenRaw, answerForbiddenStream } from './answer-forbidden.js'

/** Whether what an event announces may be heard of, and how to refuse it. */
interface Guarded {
  admits: (...args: never[]) => boolean
  refuse: (...args: never[]) => void
}

/**
 * Answers 403 to every request on a connection that is not admitted, before any listener of the server sees it or hears
 * what went wrong with it, whenever that listener was added.
 */
export function guardRequests(server: Server | Http2SecureServer): void {
  beforeListeners(server, (event, args) => {
    const guarded = guardedEvents.get(event)
    if (!guarded || guarded.admits(...(args as never[]))) return true
    guarded.refuse(...(args as never[]))
    return false
  })
  guardUpgradeCallback(server)
}

/** A newer option of Node's, which is shown requests that want to upgrade. What it does not take is a request like any other. */
function guardUpgradeCallback(server: object): void {
  const option: { shouldUpgradeCallback?: (request: IncomingMessage) => boolean } = server
  const given = option.shouldUpgradeCallback?.bind(server)
  if (given) option.shouldUpgradeCallback = (request) => isAdmitted(request.socket) && given(request)
}

const nothing = () => undefined
const admitsMessage = (message: IncomingMessage) => isAdmitted(message.socket)
const message: Guarded = { admits: admitsMessage, refuse: answerForbidden }
const takenOver: Guarded = { admits: admitsMessage, refuse: answerForbiddenRaw }

const guardedEvents = new Map<string | symbol, Guarded>([
  ['request', message],
  ['checkContinue', message],
  ['checkExpectation', message],
  ['upgrade', takenOver],
  ['connect', takenOver],
  // Node answers it by itself.
  ['dropRequest', { admits: admitsMessage, refuse: nothing }],
  [
    'clientError',
    {
      // It brings what was sent. Where nobody was proved, the handshake failed and nothing was.
      admits: (_error: Error, socket: Socket) => callerOf(socket) === undefined || isAdmitted(socket),
      refuse: (_error: Error, socket: Socket) => socket.destroy(),
    },
  ],
  ['stream', { admits: (stream: Http2Stream) => isAdmitted(stream.session?.socket), refuse: answerForbiddenStream }],
  // A client that speaks no HTTP/2: there is no protocol to answer it in.
  ['unknownProtocol', { admits: isAdmitted, refuse: (socket: Socket) => socket.destroy() }],
  // Kept from the application, which could listen to the streams of a session directly.
  ['session', { admits: (session: Http2Session) => isAdmitted(session.socket), refuse: nothing }],
])
