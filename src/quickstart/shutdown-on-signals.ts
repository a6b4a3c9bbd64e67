import { expectMs, longestTimerMs } from '../flow/index.js'

/** What can be closed before the process ends: a server of `node:http`, of Fastify, or anything like them. */
export interface ClosableServer {
  close(callback?: (error?: Error) => void): unknown
  /** Closes keep-alive connections on which nothing is under way. */
  closeIdleConnections?(): void
  /** Cuts what is left when the grace period ends. */
  closeAllConnections?(): void
}

export interface ShutdownOnSignalsOptions {
  /** Stop accepting first; requests in flight are finished. */
  servers?: Iterable<ClosableServer> | undefined
  /** Default `SIGTERM` and `SIGINT`. */
  signals?: readonly NodeJS.Signals[] | undefined
  /** Longest time from the signal to the exit, in milliseconds. Default 10 000; Kubernetes kills after 30 s. */
  graceMs?: number | undefined
  /** Told of what failed on the way; the process ends all the same. */
  onFailed?: ((error: unknown) => void) | undefined
}

/**
 * Ends the process in good order at the first signal: servers stop accepting, requests in flight finish, `shutdown` is
 * awaited, and the process exits 0 as soon as nothing holds it, at the latest when the grace period is over. A second
 * signal ends it at once, as if none of this were there.
 * @returns The function that removes the listeners again.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` for `graceMs`.
 */
export function shutdownOnSignals(shutdown: () => Promise<void>, options: ShutdownOnSignalsOptions = {}): () => void {
  const { signals = ['SIGTERM', 'SIGINT'], onFailed = () => undefined } = options
  const graceMs = Math.min(expectMs('graceMs', options.graceMs ?? 10_000), longestTimerMs)
  const remove = () => {
    for (const signal of signals) process.removeListener(signal, onSignal)
  }
  const onSignal = () => {
    remove()
    const servers = [...(options.servers ?? [])]
    // Whatever else holds the process gets what is left of the grace period.
    setTimeout(() => process.exit(), graceMs).unref()
    void drain(servers, graceMs, onFailed).then(shutdown).catch(onFailed)
  }
  for (const signal of signals) process.on(signal, onSignal)
  return remove
}

/** Stops the servers; the last tenth of the grace period belongs to what comes after them. */
async function drain(servers: ClosableServer[], graceMs: number, onFailed: (error: unknown) => void): Promise<void> {
  const patience = setTimeout(() => {
    for (const server of servers) server.closeAllConnections?.()
  }, graceMs * 0.9)
  // A connection whose request has just been answered would otherwise wait for the next one.
  const sweep = setInterval(() => {
    for (const server of servers) server.closeIdleConnections?.()
  }, 50)
  const closed = await Promise.allSettled(servers.map((server) => stop(server)))
  clearTimeout(patience)
  clearInterval(sweep)
  for (const result of closed) if (result.status === 'rejected') onFailed(result.reason)
}

function stop(server: ClosableServer): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: unknown) => {
      if (error === undefined || error === null || isNotRunning(error)) resolve()
      else reject(error instanceof Error ? error : new Error('a server could not be closed', { cause: error }))
    }
    // Fastify answers with a promise, node:http calls back.
    const answer = server.close((error) => settle(error))
    if (isThenable(answer)) answer.then(() => settle(), settle)
  })
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function isNotRunning(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SERVER_NOT_RUNNING'
}
