import type { Authorize, Caller } from '../../tls/index.js'
import { refusalOf, toAuthorizer } from '../../tls/index.js'

/** Which callers a route allows: SPIFFE IDs, or an authorizer. */
export type AllowedCallers = Authorize

/**
 * Reads, once, which callers a route allows.
 * @throws InvalidInputError as `toAuthorizer` does.
 */
export function allowedCallers(ids: AllowedCallers): (caller: Caller | undefined) => boolean {
  const authorizer = toAuthorizer(ids)
  return (caller) => caller !== undefined && refusalOf(caller, authorizer) === undefined
}
