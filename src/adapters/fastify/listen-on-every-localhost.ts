import dns from 'node:dns'
import { createServer } from 'node:net'
import type { Server } from 'node:net'

/**
 * Fastify listens on every address of `localhost` (127.0.0.1 and ::1), by servers that it makes itself, unless its
 * server comes from a factory. This brings the other addresses back: what connects there is handed to the same server,
 * and so through the same proof. They close together: when the server stops accepting, so do they, and its `close` is over
 * when their connections are, too.
 */
export function listenOnEveryLocalhost<T extends Server>(server: T): T {
  const others = new Set<Server>()
  const listen = server.listen.bind(server) as (...args: unknown[]) => T
  server.listen = ((...args: unknown[]) => {
    const host = (args[0] as { host?: unknown } | undefined)?.host
    if (host === 'localhost') server.once('listening', () => openOthers(server, others))
    return listen(...args)
  }) as typeof server.listen
  const close = server.close.bind(server)
  server.close = (callback?: (error?: Error) => void) => {
    const closed = [...others].map((other) => new Promise((resolve) => other.close(resolve)))
    others.clear()
    return close(callback && ((error) => void Promise.all(closed).then(() => callback(error))))
  }
  return server
}

function openOthers(server: Server, others: Set<Server>): void {
  const own = server.address()
  if (!own || typeof own === 'string') return
  dns.lookup('localhost', { all: true }, (error, addresses) => {
    if (error || !server.listening) return
    for (const { address } of addresses) {
      if (address === own.address) continue
      const other = createServer({ noDelay: true }, (socket) => server.emit('connection', socket))
      // An address that cannot be had, or a port taken there, is no reason to stop serving the first.
      other.on('error', () => undefined)
      // Closed before it listens, it would listen all the same.
      other.on('listening', () => others.has(other) || other.close())
      others.add(other)
      other.listen({ host: address, port: own.port })
    }
  })
}
