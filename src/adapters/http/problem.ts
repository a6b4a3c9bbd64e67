import { STATUS_CODES } from 'node:http'
import type { Caller } from '../../tls/index.js'

/** Media type of {@link Problem} (RFC 9457). */
export const problemType = 'application/problem+json'

/** The body of a 403. It names the caller to itself and says nothing of who would be allowed. */
export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: 403
  readonly detail: string
  readonly code: 'ERR_PEER_NOT_AUTHORIZED' | 'ERR_PEER_NOT_PROVED'
}

export function forbidden(caller: Caller | undefined): Problem {
  return {
    type: 'about:blank',
    title: STATUS_CODES[403] ?? 'Forbidden',
    status: 403,
    detail: caller
      ? `The caller ${caller.id.toString()} is not allowed here.`
      : 'The caller has not proved a SPIFFE ID, which is needed here.',
    code: caller ? 'ERR_PEER_NOT_AUTHORIZED' : 'ERR_PEER_NOT_PROVED',
  }
}
