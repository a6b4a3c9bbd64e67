import type { Duplex } from 'node:stream'
import { callerOf } from '../../tls/index.js'
import type { Caller } from '../../tls/index.js'

/** As much of a request as is needed to know who sent it; HTTP/1 and HTTP/2 requests both fit. */
export interface RequestOnSocket {
  readonly socket: Duplex
}

/** The proved sender of a request; `undefined` where nobody was proved. */
export function callerOfRequest(request: RequestOnSocket): Caller | undefined {
  return callerOf(request.socket)
}
