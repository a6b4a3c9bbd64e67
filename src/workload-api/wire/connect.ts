import { connect as connectSocket } from 'node:net'
import type { Socket } from 'node:net'
import { WorkloadApiError } from '../../errors/index.js'
import { afterSilence } from '../../flow/index.js'
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
 * A connected socket that does not hold the process. Never through a proxy: the Workload API is local.
 * @throws WorkloadApiError with code `ERR_WORKLOAD_API_UNAVAILABLE`, or the signal's reason.
 */
export function connect(endpoint: Endpoint, connectTimeoutMs: number, signal: AbortSignal): Promise<Socket> {
  const timeoutMs = Math.min(connectTimeoutMs, longestMs)
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connectSocket(
      endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port, noDelay: true },
    )
    socket.unref()
    const settle = () => {
      stopWaiting()
      signal.removeEventListener('abort', onAbort)
      // The error listener stays: what still comes out of a socket that is given up concerns nobody.
      socket.off('connect', onConnect)
    }
    const fail = (error: unknown) => {
      settle()
      socket.destroy()
      // An error of ours, or the signal's reason, unchanged.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      reject(error)
    }
    const stopWaiting = afterSilence(timeoutMs, () => {
      const cause = Object.assign(new Error(`no connection within ${timeoutMs} ms`), { code: 'ETIMEDOUT' })
      fail(unreachable(endpoint, cause))
    })
    const onAbort = () => {
      fail(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const onConnect = () => {
      settle()
      resolve(socket)
    }
    socket.on('error', (cause) => {
      fail(unreachable(endpoint, cause))
    })
    socket.once('connect', onConnect)
  })
}
