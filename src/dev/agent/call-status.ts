import { status } from '@grpc/grpc-js'

/** How a call ends: a gRPC status code and the sentence that goes with it. */
export interface CallStatus {
  readonly code: number
  readonly details: string
}

export const starting: CallStatus = { code: status.UNAVAILABLE, details: 'the dev agent is starting' }
export const closing: CallStatus = { code: status.UNAVAILABLE, details: 'the dev agent is closing' }
export const noIdentity: CallStatus = { code: status.PERMISSION_DENIED, details: 'no identity issued' }
/** What a call without the security header is told, with INVALID_ARGUMENT. */
export const headerMissing = 'the metadata workload.spiffe.io must be present once, with the value "true"'

export function invalidArgument(details: string): CallStatus {
  return { code: status.INVALID_ARGUMENT, details }
}

const ok: number = status.OK

/** Whether a call ends well. */
export function isOk({ code }: CallStatus): boolean {
  return code === ok
}

/** Thrown by a handler to end its call with a status. */
export class CallFailure extends Error {
  readonly status: CallStatus

  constructor(callStatus: CallStatus, options?: ErrorOptions) {
    super(callStatus.details, options)
    this.status = callStatus
  }
}
