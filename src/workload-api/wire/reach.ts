import { connect } from 'node:net'
import { WorkloadApiError } from '../../errors/index.js'
import type { Endpoint } from '../endpoint.js'

/**
 * An endpoint is on this host or its link, so a connection takes milliseconds. While one is pending it holds the
 * process, whatever is unref'ed (libuv counts the request), so it must not be pending for long.
 */
const longestMs = 800

const reasons: Partial<Record<string, string>> = {
  ENOENT: 'no socket exists there; check that the agent runs and that its socket is mounted here',
  ECONNREFUSED: 'nobody listens there; check that the agent runs',
  EACCES: 'this process may not open the socket; check the permissions of the socket and its directories',
  EPERM: 'this process may not open the socket; check the permissions of the socket and its directories',
  ENOTSOCK: 'the file is not a socket; check the address',
  ENOTDIR: 'a part of the path is not a directory; check the address',
  ETIMEDOUT: 'nothing answers at this address; check the address and the network',
}

/** The error for an endpoint that no connection could be made to. */
export function unreachable(endpoint: Endpoint, cause: unknown): WorkloadApiError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const reason = reasons[errno] ?? (cause instanceof Error ? cause.message : String(cause))
  return new WorkloadApiError(
    'ERR_WORKLOAD_API_UNAVAILABLE',
    `cannot connect to the Workload API at ${endpoint.text}${errno ? ` (${errno})` : ''}: ${reason}`,
    { endpoint: endpoint.text, cause },
  )
}

/**
 * Connects and hangs up: tells in microseconds whether somebody listens, and why not. A connection that grpc-js makes
 * would stay pending, and hold the process, for as long as the kernel cares to try.
 */
export function reach(endpoint: Endpoint, connectTimeoutMs: number, signal: AbortSignal): Promise<void> {
  const timeoutMs = Math.min(connectTimeoutMs, longestMs)
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connect(
      endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port },
    )
    socket.unref()
    const settle = (outcome: () => void) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.removeAllListeners()
      // What still comes out of a socket that is done with concerns nobody.
      socket.on('error', () => undefined)
      socket.destroy()
      outcome()
    }
    const timer = setTimeout(() => {
      const cause = Object.assign(new Error(`no connection within ${timeoutMs} ms`), { code: 'ETIMEDOUT' })
      settle(() => {
        reject(unreachable(endpoint, cause))
      })
    }, timeoutMs)
    timer.unref()
    const onAbort = () => {
      settle(() => {
        // The signal's reason is passed on unchanged.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal.reason)
      })
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('connect', () => {
      settle(resolve)
    })
    socket.once('error', (cause) => {
      settle(() => {
        reject(unreachable(endpoint, cause))
      })
    })
  })
}
