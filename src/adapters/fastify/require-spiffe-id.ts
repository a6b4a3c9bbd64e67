import { allowedCallers, callerOfRequest, forbidden, problemType } from '../http/index.js'
import type { AllowedCallers, RequestOnSocket } from '../http/index.js'

/** As much of Fastify's reply as a refusal needs, over HTTP/1 and HTTP/2. */
export interface RefusableReply {
  code(statusCode: number): unknown
  type(contentType: string): unknown
  serializer(serialize: (body: unknown) => string): unknown
  send(body: unknown): unknown
}

/** A hook for `onRequest` or `preHandler`, of one route or of all. */
export type SpiffeHook = (
  request: { readonly raw: RequestOnSocket },
  reply: RefusableReply,
  done: (error?: Error) => void,
) => void

/**
 * Lets only these callers pass: `{ onRequest: requireSpiffeId('spiffe://example.org/web') }`. Everybody else, including
 * whoever proved nothing, is answered 403 with a problem body.
 * @param ids - One SPIFFE ID, a list of them, or an authorizer such as `authorizeMemberOf('example.org')`.
 * @throws InvalidInputError, when the route is set up, with code `ERR_AUTHORIZER_REQUIRED`, `ERR_AUTHORIZER_INVALID` or
 * `ERR_SPIFFE_ID_INVALID`.
 */
export function requireSpiffeId(ids: AllowedCallers): SpiffeHook {
  const allows = allowedCallers(ids)
  return (request, reply, done) => {
    const caller = callerOfRequest(request.raw)
    if (allows(caller)) {
      done()
      return
    }
    reply.code(403)
    reply.type(problemType)
    // The route's own serializer is made for its own answers.
    reply.serializer((body) => JSON.stringify(body))
    reply.send(forbidden(caller))
  }
}
