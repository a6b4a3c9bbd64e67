import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One frame of HTTP/2, its header included. */
export interface Frame {
  readonly bytes: Buffer
  readonly type: number
  readonly stream: number
  readonly payload: Buffer
}

export const frameTypes = { data: 0, rstStream: 3, goaway: 7 } as const
export const endStream = 0x1

export function frameOf(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** `lastStream` is the last one that the agent will still serve. */
export function goawayFrame(lastStream: number, code = 0): Buffer {
  const payload = Buffer.alloc(8)
  payload.writeUInt32BE(lastStream, 0)
  payload.writeUInt32BE(code, 4)
  return frameOf(frameTypes.goaway, 0, 0, payload)
}

/** What to do with the bytes of a message instead of passing them on. */
export type Sabotage = (message: Frame, client: Socket) => void

/**
 * Stands between a client and a true agent, and does to the bytes what no server offers. It knows where the frames
 * begin; all the rest is the agent's own.
 */
export class Saboteur {
  readonly endpoint: string
  readonly #server: Server
  readonly #directory: string
  readonly #sockets = new Set<Socket>()
  #planned: Sabotage | undefined
  #frozen = new Set<Socket>()
  /** Connections that were made through it. */
  connections = 0

  private constructor(server: Server, directory: string, endpoint: string) {
    this.#server = server
    this.#directory = directory
    this.endpoint = endpoint
  }

  static async start(agentEndpoint: string): Promise<Saboteur> {
    const directory = await mkdtemp(join(tmpdir(), 'saboteur-'))
    const path = join(directory, 'agent.sock')
    const server = createServer()
    const saboteur = new Saboteur(server, directory, `unix://${path}`)
    server.on('connection', (client) => saboteur.#join(client, connect(agentEndpoint.slice('unix://'.length))))
    await new Promise<void>((resolve) => server.listen(path, resolve))
    return saboteur
  }

  /** True until the sabotage has happened. */
  get waiting(): boolean {
    return this.#planned !== undefined
  }

  /** Does this to the next message that the agent sends. */
  plan(sabotage: Sabotage): void {
    this.#planned = sabotage
  }

  /** From now on the connections that stand stay open and carry nothing more, as when a machine is gone. */
  freeze(): void {
    this.#frozen = new Set(this.#sockets)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
    await rm(this.#directory, { recursive: true })
  }

  #join(client: Socket, agent: Socket): void {
    this.connections++
    for (const [socket, other] of [
      [client, agent],
      [agent, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (bytes: Buffer) => {
      if (!this.#frozen.has(client)) agent.write(bytes)
    })
    let pending = Buffer.alloc(0)
    agent.on('data', (bytes: Buffer) => {
      pending = Buffer.concat([pending, bytes])
      while (pending.length >= 9) {
        const end = 9 + pending.readUIntBE(0, 3)
        if (pending.length < end) return
        const frame = pending.subarray(0, end)
        pending = pending.subarray(end)
        if (!this.#frozen.has(client)) this.#pass(frame, client)
      }
    })
  }

  #pass(bytes: Buffer, client: Socket): void {
    const sabotage = this.#planned
    if (sabotage && bytes[3] === frameTypes.data && bytes.length > 9) {
      this.#planned = undefined
      const stream = bytes.readUInt32BE(5)
      sabotage({ bytes, type: frameTypes.data, stream, payload: bytes.subarray(9) }, client)
    } else client.write(bytes)
  }
}
