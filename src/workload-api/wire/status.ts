import { WorkloadApiError } from '../../errors/index.js'
import type { SpiffeErrorCode } from '../../errors/index.js'
import type { Endpoint } from '../endpoint.js'

/** The gRPC status codes that mean something to us. */
export const Status = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

const names = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
]

/** How a call ended. */
export interface CallStatus {
  readonly code: number
  readonly details: string
  /** The agent sent a message that was not read, because it is larger than the limit. */
  readonly tooLarge?: true
}

/** What to make of a status, and what to tell whoever reads the message. */
function meaningOf(code: number): { code: SpiffeErrorCode; next: string } {
  switch (code) {
    case Status.ok:
      return { code: 'ERR_WORKLOAD_API_STREAM_ENDED', next: 'check what serves this endpoint, and its log' }
    case Status.invalidArgument:
      return { code: 'ERR_WORKLOAD_API_REFUSED', next: 'the request will not do better as it is' }
    case Status.permissionDenied:
      return {
        code: 'ERR_WORKLOAD_API_DENIED',
        next: 'register this workload with selectors that fit it, or check that the agent knows the entry already',
      }
    case Status.unimplemented:
      return {
        code: 'ERR_WORKLOAD_API_UNIMPLEMENTED',
        next: 'check that the address is that of a Workload API endpoint, and that the agent offers this call',
      }
    default:
      return { code: 'ERR_WORKLOAD_API_UNAVAILABLE', next: 'check that the agent is healthy, and its log' }
  }
}

/** The agent's own words, fit for one line of a message. */
function shown(details: string): string {
  const line = details.replaceAll(/[\p{C}\s]+/gu, ' ').trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

/** `7 PERMISSION_DENIED: no identity issued`. */
export function describeStatus({ code, details }: CallStatus): string {
  const words = shown(details)
  return `${code} ${names[code] ?? 'unknown status'}${words && words !== names[code] ? `: ${words}` : ''}`
}

/**
 * The error for a call that ended with a status.
 * @param secret - Text that must not appear in the message, should the agent repeat it.
 */
export function errorOfStatus(
  endpoint: Endpoint,
  method: string,
  status: CallStatus,
  secret?: string,
): WorkloadApiError {
  if (status.tooLarge) {
    const message = `the agent at ${endpoint.text} sent ${status.details} (${method}); raise limits.maxMessageBytes if it is right`
    return new WorkloadApiError('ERR_WORKLOAD_API_RESPONSE_INVALID', message, { endpoint: endpoint.text })
  }
  const { code, next } = meaningOf(status.code)
  const details = secret === undefined ? status.details : status.details.replaceAll(secret, '[redacted]')
  const ending =
    status.code === Status.ok
      ? 'ended the stream without an error'
      : `answered ${describeStatus({ ...status, details })}`
  return new WorkloadApiError(code, `the agent at ${endpoint.text} ${ending} (${method}); ${next}`, {
    endpoint: endpoint.text,
    grpcStatus: status.code,
  })
}
