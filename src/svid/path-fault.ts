import type { SpiffeErrorCode } from '../errors/index.js'

/** Why a certificate or a path is refused. A value, not an error: the search goes on with the next candidate. */
export interface PathFault {
  readonly code: SpiffeErrorCode
  readonly message: string
}

export function pathFault(code: SpiffeErrorCode, message: string): PathFault {
  return { code, message }
}
