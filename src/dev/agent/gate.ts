import { ServerInterceptingCall, status } from '@grpc/grpc-js'
import type { Metadata, ServerInterceptor } from '@grpc/grpc-js'
import { headerMissing } from './call-status.js'
import type { DevAgentCall } from './dev-agent-call.js'

const header = 'workload.spiffe.io'

/**
 * Stands before every handler: tells the observer, then refuses a call without the security header.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#6-error-codes
 */
export function createGate(observe: (call: Omit<DevAgentCall, 'endpoint'>) => void): ServerInterceptor {
  return ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, forward) {
            observe({ method: path, metadata: textOf(metadata) })
            // The ICP dialect knows no security header.
            if (path.startsWith('/SpiffeWorkloadAPI/') && !isMarked(metadata))
              call.sendStatus({ code: status.INVALID_ARGUMENT, details: headerMissing })
            else forward(metadata)
          },
        })
      },
    })
}

/** Exactly one value, compared with its case: two values may be two opinions of two proxies. */
function isMarked(metadata: Metadata): boolean {
  const values = metadata.get(header)
  return values.length === 1 && values[0] === 'true'
}

function textOf(metadata: Metadata): Record<string, string[]> {
  return Object.fromEntries(
    Object.keys(metadata.getMap()).map((name) => [
      name,
      metadata.get(name).filter((value): value is string => typeof value === 'string'),
    ]),
  )
}
