import { WorkloadApiError } from '../errors/index.js'
import type { SpiffeError } from '../errors/index.js'
import type { X509Svid } from '../svid/index.js'

function statusOf(error: SpiffeError | undefined): number | undefined {
  return error instanceof WorkloadApiError ? error.grpcStatus : undefined
}

/** No usable update came by the deadline: the code is that of what went wrong last. `what` is what it would have held. */
export function tooLate(
  what: string,
  endpoint: string,
  timeoutMs: number,
  failures: number,
  last: SpiffeError | undefined,
): WorkloadApiError {
  if (!last) {
    return new WorkloadApiError(
      'ERR_TIMEOUT',
      `the agent at ${endpoint} did not answer within ${timeoutMs} ms; check that it is healthy, and its log`,
      { endpoint },
    )
  }
  const tries = failures === 1 ? 'once' : `${failures} times`
  return new WorkloadApiError(
    last.code,
    `no ${what} from ${endpoint} within ${timeoutMs} ms; tried ${tries}, last: ${last.message}`,
    {
      endpoint,
      grpcStatus: statusOf(last),
      cause: last,
    },
  )
}

/** Somebody asks a source that has had nothing yet. */
export function notYet(what: string, endpoint: string, last: SpiffeError | undefined): WorkloadApiError {
  return new WorkloadApiError(
    'ERR_WORKLOAD_API_UNAVAILABLE',
    `there is no ${what} from the agent at ${endpoint} yet; it is asked until there is: ${last?.message ?? 'wait for the event update'}`,
    { endpoint, grpcStatus: statusOf(last), cause: last },
  )
}

export function withdrawn(what: string, endpoint: string, cause: SpiffeError): WorkloadApiError {
  return new WorkloadApiError(
    'ERR_SVID_WITHDRAWN',
    `the agent at ${endpoint} took the ${what} of this workload back; it is asked again until there is one: ${cause.message}`,
    { endpoint, grpcStatus: statusOf(cause), cause },
  )
}

export function expired(endpoint: string, svid: X509Svid, last: SpiffeError | undefined): WorkloadApiError {
  return new WorkloadApiError(
    'ERR_X509_SVID_EXPIRED',
    `the SVID of ${svid.id.toString()} expired at ${svid.expiresAt.toISOString()} and the agent at ${endpoint} issued no newer one; check the agent`,
    { endpoint, cause: last },
  )
}
