import { chmod, lstat, rename, unlink } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type {
  ConnectionInjector,
  ServerInterceptor,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { SpiffeError } from '../../errors/index.js'
import type { ListenAddress } from './listen-address.js'

export interface SocketServerOptions {
  services: readonly { definition: ServiceDefinition; handlers: UntypedServiceImplementation }[]
  interceptors: ServerInterceptor[]
  /** The listening server does not keep the process alive. */
  unref: boolean
}

/** How long open connections may take to finish once told to, in milliseconds. */
const graceMs = 100

/**
 * A gRPC server on a socket of our own. grpc-js hides its listening socket and its connections; owning both lets this
 * server come back on the same path, cut its connections, and not hold the process.
 */
export class SocketServer {
  #address: ListenAddress
  readonly #unref: boolean
  readonly #grpc: Server
  readonly #injector: ConnectionInjector
  readonly #connections = new Set<Socket>()
  #listener: NetServer | undefined

  constructor(address: ListenAddress, options: SocketServerOptions) {
    this.#address = address
    this.#unref = options.unref
    this.#grpc = new Server({ interceptors: options.interceptors, 'grpc.enable_channelz': 0 })
    for (const { definition, handlers } of options.services) this.#grpc.addService(definition, handlers)
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure())
  }

  /** The address with the port that the system chose. */
  get address(): ListenAddress {
    return this.#address
  }

  /** Starts to listen, the first time or again. A socket file that nobody answers on is replaced. */
  async listen(): Promise<void> {
    if (this.#listener) return
    if (this.#address.kind === 'unix') await removeStaleSocket(this.#address.path)
    const listener = createServer({ noDelay: true }, (socket) => {
      this.#connections.add(socket)
      socket.once('close', () => this.#connections.delete(socket))
      // A peer that goes away in mid-write is no fault of ours.
      socket.on('error', () => socket.destroy())
      if (this.#unref) socket.unref()
      this.#injector.injectConnection(socket)
    })
    if (this.#unref) listener.unref()
    this.#listener = listener
    await new Promise<void>((resolve, reject) => {
      listener.once('error', (cause) => {
        this.#listener = undefined
        reject(new SpiffeError('ERR_DEV_AGENT', `cannot listen on ${describe(this.#address)}`, { cause }))
      })
      const { kind } = this.#address
      if (kind === 'unix') listener.listen({ path: this.#address.path }, resolve)
      else listener.listen({ host: this.#address.host, port: this.#address.port }, resolve)
    })
    if (this.#address.kind === 'unix') await chmod(this.#address.path, this.#address.mode)
    // Kept for the next listen(): who comes back comes back on the same port.
    else this.#address = { ...this.#address, port: (listener.address() as AddressInfo).port }
  }

  /** Destroys the open connections, as a crash or a cut cable would. */
  cut(): void {
    for (const socket of this.#connections) socket.destroy()
  }

  /**
   * Vanishes without a goodbye: connections cut, nobody listens, and no socket file unless `leaveFile`.
   * `listen()` brings it back.
   */
  async die(leaveFile = false): Promise<void> {
    const listener = this.#listener
    if (!listener) return
    this.#listener = undefined
    this.cut()
    const path = this.#address.kind === 'unix' && leaveFile ? this.#address.path : undefined
    // Closing unlinks the path that was bound; under another name the file outlives its listener.
    if (path !== undefined) await rename(path, `${path}~`)
    await new Promise((resolve) => listener.close(resolve))
    if (path !== undefined) await rename(`${path}~`, path)
  }

  /** Ends for good: asks the connections to finish, and cuts those that do not. */
  async close(): Promise<void> {
    const listener = this.#listener
    this.#listener = undefined
    const stopped = listener && new Promise((resolve) => listener.close(resolve))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs)
      this.#grpc.tryShutdown(() => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.cut()
    this.#grpc.forceShutdown()
    await stopped
  }
}

function describe(address: ListenAddress): string {
  return address.kind === 'unix' ? address.path : `${address.host}:${address.port}`
}

/** Removes a socket file that a killed process left behind. One that somebody answers on stays, and so does any other file. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (!found?.isSocket()) return
  const answered = await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (!answered) await unlink(path).catch(() => undefined)
}
