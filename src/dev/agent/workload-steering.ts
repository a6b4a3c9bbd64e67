import { status } from '@grpc/grpc-js'
import type { Board, Rewrite } from './board.js'
import type { SocketServer } from './socket-server.js'

/**
 * Makes one workload's socket misbehave, to see what a client does about it. What is set stays until `behave()`;
 * calls that are in progress feel it too.
 */
export class WorkloadSteering {
  readonly #board: Board
  readonly #server: SocketServer

  /** @internal */
  constructor(board: Board, server: SocketServer) {
    this.#board = board
    this.#server = server
  }

  /** Number of streams that are open now. */
  get openStreams(): number {
    return this.#board.streams.size
  }

  /** Ends every stream and answers every call with a gRPC status: `deny(14)` for UNAVAILABLE. */
  deny(code: number, details = 'denied by the test'): void {
    this.#board.force({ kind: 'refuse', status: { code, details } })
  }

  /** Takes calls and says nothing: no header, no message, no status. */
  stall(): void {
    this.#board.force({ kind: 'stall' })
  }

  /** Sends these bytes in place of every message: in open streams now, in new ones as the first answer. */
  sendRaw(bytes: Uint8Array): void {
    this.#board.force({ kind: 'raw', bytes: Buffer.from(bytes) })
  }

  /**
   * Changes each response before it is sent, open streams included. The message has the fields of the schema in camel
   * case: `rewrite((method, message) => ({ ...message, svids: [] }))` sends no SVID.
   */
  rewrite(change: Rewrite): void {
    this.#board.rewrite = change
    this.#board.update()
  }

  /** Ends the open streams with OK, as an agent may at any time. New ones are served. */
  endStreams(): void {
    for (const stream of [...this.#board.streams]) stream.end({ code: status.OK, details: '' })
  }

  /** Cuts the open connections. New ones are served. */
  cut(): void {
    this.#server.cut()
  }

  /** Vanishes: connections cut, no listener, and no socket file unless `leaveFile`. */
  async die(options?: { leaveFile?: boolean | undefined }): Promise<void> {
    await this.#server.die(options?.leaveFile ?? false)
  }

  /** Is back on the same address after `die()`. */
  async comeBack(): Promise<void> {
    await this.#server.listen()
  }

  /** Ends whatever `deny`, `stall`, `sendRaw` and `rewrite` set; the true state is sent where it differs. */
  behave(): void {
    this.#board.rewrite = undefined
    this.#board.force(undefined)
  }
}
