import { ClosedError, SpiffeError } from '../../errors/index.js'
import type { SpiffeId } from '../../spiffe-id/index.js'
import type { X509Svid } from '../../svid/index.js'
import type { Board, Trust } from './board.js'
import { closing, noIdentity } from './call-status.js'
import type { DevIdentity, Identity } from './identity.js'
import { readIdentity } from './identity.js'
import { endpointOf } from './listen-address.js'
import type { SocketServer } from './socket-server.js'
import { WorkloadSteering } from './workload-steering.js'

/** What a workload needs of its agent. */
export interface WorkloadHost {
  readonly now: () => Date
  readonly ttlMs: number
  issue(identity: Identity, ttlMs: number): Promise<X509Svid>
  trust(): Trust
  closed(workload: DevWorkload): void
}

/** The longest that a timer can wait; a later rotation waits in several steps. */
const maxTimerMs = 2 ** 31 - 1

interface Entry {
  readonly identity: Identity
  readonly svid: X509Svid
  readonly rotateAtMs: number
}

/** One socket of a dev agent and the identities that it gives to whoever connects. */
export class DevWorkload {
  /** For `SPIFFE_ENDPOINT_SOCKET` or a client's `endpoint`: `unix:///…` or `tcp://127.0.0.1:…`. */
  readonly endpoint: string
  /** Makes this socket misbehave; for tests of clients. */
  readonly steering: WorkloadSteering
  readonly #host: WorkloadHost
  readonly #board: Board
  readonly #server: SocketServer
  #identities: readonly Identity[] = []
  #entries: readonly Entry[] = []
  #withdrawn = false
  #rotations = 0
  #committed = 0
  #closed: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  /** @internal Use `DevAgent.workload()`. */
  constructor(host: WorkloadHost, board: Board, server: SocketServer) {
    this.#host = host
    this.#board = board
    this.#server = server
    this.endpoint = endpointOf(server.address)
    this.steering = new WorkloadSteering(board, server)
  }

  /** The SPIFFE ID of the default identity. */
  get id(): SpiffeId {
    return this.#first().identity.id
  }

  /** The default identity as it was issued last. */
  get svid(): X509Svid {
    return this.#first().svid
  }

  /** Every identity of this socket as it was issued last, the default one first. */
  get svids(): readonly X509Svid[] {
    return this.#entries.map(({ svid }) => svid)
  }

  /** Adds identities to this socket, behind those that it has. */
  async add(...identities: readonly DevIdentity[]): Promise<void> {
    this.#assertOpen()
    const { trustDomain } = this.#host.trust().bundle
    const all = [...this.#identities]
    for (const identity of identities) all.push(readIdentity(identity, trustDomain, all))
    this.#identities = all
    await this.rotate()
  }

  /** Takes one identity from this socket. Without any, calls are answered as after `withdraw()`. */
  remove(id: string | SpiffeId): void {
    this.#assertOpen()
    const text = id.toString()
    this.#identities = this.#identities.filter((identity) => identity.id.toString() !== text)
    this.#entries = this.#entries.filter(({ svid }) => svid.id.toString() !== text)
    this.publish()
  }

  /** Issues every identity of this socket anew and sends them out. */
  async rotate(): Promise<void> {
    const commit = await this.prepareRotation()
    commit()
  }

  /** @internal Issues now, and publishes when the result is called: several workloads can change as one. */
  async prepareRotation(): Promise<() => void> {
    this.#assertOpen()
    const rotation = ++this.#rotations
    const rotateAtMs = this.#host.now().getTime() + this.#host.ttlMs / 2
    const entries = await Promise.all(
      this.#identities.map(async (identity) => ({
        identity,
        svid: await this.#host.issue(identity, this.#host.ttlMs),
        rotateAtMs,
      })),
    )
    return () => {
      // Of two rotations at the same time the one that began later knows more, whichever ends first.
      if (this.#closed || rotation < this.#committed) return
      this.#committed = rotation
      this.#entries = entries.filter(({ identity }) => this.#identities.includes(identity))
      this.publish()
      this.#schedule()
    }
  }

  /** @internal When the next rotation is due, by the agent's clock. */
  get rotateAtMs(): number {
    return Math.min(...this.#entries.map((entry) => entry.rotateAtMs))
  }

  /** Takes the identities back: streams end and calls are answered with PERMISSION_DENIED, until `restore()`. */
  withdraw(): void {
    this.#assertOpen()
    this.#withdrawn = true
    this.publish()
  }

  /** Gives them again, freshly issued. */
  async restore(): Promise<void> {
    this.#assertOpen()
    this.#withdrawn = false
    await this.rotate()
  }

  /** @internal Shows the present state to every stream. */
  publish(): void {
    if (this.#closed) return
    if (this.#withdrawn || this.#entries.length === 0) this.#board.show({ kind: 'refuse', status: noIdentity })
    else this.#board.show({ kind: 'serve', snapshot: { svids: this.svids, ...this.#host.trust() } })
  }

  /** Closes this socket; the agent's others go on. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer)
    this.#board.rewrite = undefined
    this.#board.force({ kind: 'refuse', status: closing })
    await this.#server.close()
    this.#host.closed(this)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    const waitMs = Math.min(Math.max(this.rotateAtMs - this.#host.now().getTime(), 0), maxTimerMs)
    this.#timer = setTimeout(() => {
      // The agent's clock may be a test's, and a long wait comes in several parts.
      if (this.#host.now().getTime() < this.rotateAtMs) this.#schedule()
      else void this.rotate()
    }, waitMs)
    this.#timer.unref()
  }

  #first(): Entry {
    const first = this.#entries[0]
    if (!first) throw new SpiffeError('ERR_DEV_AGENT', `${this.endpoint} has no identity; add one`)
    return first
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError(`the dev agent's socket ${this.endpoint}`)
  }
}
