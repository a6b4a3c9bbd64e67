import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caller } from '../../tls/index.js'
import { allowedCallers, callerOfRequest, forbidden, problemType } from '../http/index.js'
import type { AllowedCallers } from '../http/index.js'

declare global {
  // Express's own way to extend its request; it has to be a namespace.
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface Request {
      /** The proved sender of the request, once `spiffeCaller()` or `requireSpiffeId(…)` has run. */
      caller?: Caller | undefined
    }
  }
}

export interface RequestWithCaller extends IncomingMessage {
  caller?: Caller | undefined
}

/** A middleware of Express 4 or 5, and of everything else that calls `(request, response, next)`. */
export type Middleware = (request: RequestWithCaller, response: ServerResponse, next: (error?: unknown) => void) => void

/**
 * Puts the proved sender of each request on `request.caller`; it stays `undefined` where nobody was proved. It admits
 * everybody that the server admits: routes decide with {@link requireSpiffeId}.
 */
export function spiffeCaller(): Middleware {
  return (request, _response, next) => {
    request.caller = callerOfRequest(request)
    next()
  }
}

/**
 * Lets only these callers reach the handlers that follow, and puts the caller on `request.caller`. Everybody else,
 * including whoever proved nothing, is answered 403 with a problem body.
 * @param ids - One SPIFFE ID, a list of them, or an authorizer such as `authorizeMemberOf('example.org')`.
 * @throws InvalidInputError, when the route is set up, with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or
 * `ERR_SPIFFE_ID_INVALID`.
 */
export function requireSpiffeId(ids: AllowedCallers): Middleware {
  const allows = allowedCallers(ids)
  return (request, response, next) => {
    const caller = callerOfRequest(request)
    request.caller = caller
    if (allows(caller)) {
      next()
      return
    }
    response.writeHead(403, { 'content-type': problemType })
    response.end(JSON.stringify(forbidden(caller)))
  }
}
