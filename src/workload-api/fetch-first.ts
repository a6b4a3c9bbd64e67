import { endedByDeadline } from './agent.js'
import type { Agent, StreamMethod } from './agent.js'
import type { Decoded } from './decode/x509-context.js'
import type { Dialect } from './dialects/dialect.js'

/** The first message of a stream, which is then cancelled. Rejects with a `WorkloadApiError`, or the signal's reason. */
export async function fetchFirst<T>(
  agent: Agent,
  method: StreamMethod,
  decode: (bytes: Uint8Array, dialect: Dialect) => Decoded<T>,
  signal: AbortSignal,
): Promise<T> {
  const connection = await agent.connect(method, signal)
  let onAbort: (() => void) | undefined
  try {
    return await new Promise<T>((resolve, reject) => {
      signal.throwIfAborted()
      const stream = agent.stream(connection, method, {
        onMessage: (bytes, dialect) => {
          stream.cancel()
          try {
            resolve(agent.read(dialect.paths[method], () => decode(bytes, dialect)).value)
          } catch (error) {
            // What the decoder threw is passed on unchanged.
            // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
            reject(error)
          }
        },
        onEnd: ({ error }) => {
          reject(error)
        },
      })
      onAbort = () => {
        stream.cancel()
        // The signal's reason is passed on unchanged.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
    })
  } finally {
    if (endedByDeadline(signal)) agent.renew(connection)
    if (onAbort) signal.removeEventListener('abort', onAbort)
  }
}
