import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEndpoint } from '../../workload-api/index.js'
import { endStreamFlag, everyStream, frameHeaderBytes, FrameReader, frameType } from './http2-frame.js'
import { goawayFrame, http2Frame } from './http2-frame.js'

/** A message of an agent on its way: one DATA frame of HTTP/2. */
export interface WireMessage {
  /** The whole frame. */
  readonly bytes: Buffer
  /** The HTTP/2 stream that it belongs to. */
  readonly stream: number
  /** What the frame holds: the five bytes with which gRPC begins a message, and the message. */
  readonly payload: Buffer
}

/** What is done instead of passing a message on; the socket leads to the client. */
export type WireAct = (message: WireMessage, client: Socket) => void

/**
 * The line between a client and an agent, in the hands of a test. It passes every byte on, both ways, until it is told
 * to do what no server offers: half a message, rubbish, GOAWAY, silence. It never keeps the process alive.
 *
 * ```ts
 * const agent = await TestAgent.start({ after: onTestFinished })
 * const wire = await agent.wire()
 * const source = await X509Source.open({ endpoint: wire.endpoint })
 * wire.breakOff()
 * await agent.rotate()
 * ```
 */
export class TestWire {
  /** Where the client connects: `unix:///…`. */
  readonly endpoint: string
  readonly #agent: NetConnectOpts
  readonly #server: Server
  readonly #directory: string
  readonly #clients = new Set<Socket>()
  readonly #frozen = new Set<Socket>()
  #act: WireAct | undefined
  #connections = 0
  #closed: Promise<void> | undefined

  private constructor(agent: NetConnectOpts, server: Server, directory: string, endpoint: string) {
    this.#agent = agent
    this.#server = server
    this.#directory = directory
    this.endpoint = endpoint
  }

  /**
   * Listens on a temporary Unix socket.
   * @param agentEndpoint - Where the agent listens, `unix:///…` or `tcp://…`. It need not be there yet.
   */
  static async start(agentEndpoint: string): Promise<TestWire> {
    const agent = parseEndpoint(agentEndpoint)
    const directory = await mkdtemp(join(tmpdir(), 'wire-'))
    const path = join(directory, 'agent.sock')
    const server = createServer().unref()
    const to = agent.kind === 'unix' ? { path: agent.path } : { host: agent.host, port: agent.port }
    const wire = new TestWire(to, server, directory, `unix://${path}`)
    server.on('connection', (client) => wire.#join(client))
    await new Promise<void>((resolve) => server.listen(path, resolve))
    return wire
  }

  /** Connections that were made through it so far. */
  get connections(): number {
    return this.#connections
  }

  /** True while what was planned for the next message has not happened. */
  get waiting(): boolean {
    return this.#act !== undefined
  }

  /** Does this with the next message of the agent. */
  replaceNext(act: WireAct): void {
    this.#act = act
  }

  /** Of the next message half comes through, then the connection is cut. */
  breakOff(): void {
    this.replaceNext(({ bytes }, client) => client.write(half(bytes), () => client.destroy()))
  }

  /** Of the next message half comes through, then its stream ends, in good order. */
  endHalfWay(): void {
    this.replaceNext(({ stream, payload }, client) =>
      client.write(http2Frame(frameType.data, endStreamFlag, stream, half(payload))),
    )
  }

  /** Sends these bytes into the open connections, now and between two frames: rubbish, or anything else. */
  inject(bytes: Uint8Array): void {
    for (const client of this.#clients) if (!this.#frozen.has(client)) client.write(bytes)
  }

  /**
   * Says GOAWAY on the open connections: in a friendly way, so that open streams are served and new ones have to go over
   * another connection; or, with an error code of HTTP/2 (11 is ENHANCE_YOUR_CALM), as a server that throws out.
   */
  goAway(code = 0): void {
    if (code === 0) this.inject(goawayFrame(everyStream))
    else for (const client of this.#clients) client.write(goawayFrame(0, code), () => client.destroy())
  }

  /** From now on the open connections stay open and carry nothing more, as when a machine is gone. */
  freeze(): void {
    for (const client of this.#clients) this.#frozen.add(client)
  }

  /** Cuts the open connections. */
  cut(): void {
    for (const client of this.#clients) client.destroy()
  }

  /** Cuts everything, and removes the socket. Twice does no harm. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #end(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
    await rm(this.#directory, { recursive: true, force: true })
  }

  #join(client: Socket): void {
    const agent = connect(this.#agent)
    this.#connections++
    this.#clients.add(client)
    client.once('close', () => {
      this.#clients.delete(client)
      this.#frozen.delete(client)
    })
    for (const [socket, other] of [
      [client, agent],
      [agent, client],
    ] as const) {
      socket.unref()
      // Either end may hang up at any time; the other one follows.
      socket.on('error', () => undefined)
      socket.once('close', () => other.destroy())
    }
    client.on('data', (bytes: Buffer) => {
      if (!this.#frozen.has(client)) agent.write(bytes)
    })
    const frames = new FrameReader()
    agent.on('data', (bytes: Buffer) => {
      for (const frame of frames.read(bytes)) if (!this.#frozen.has(client)) this.#pass(frame, client)
    })
  }

  #pass(bytes: Buffer, client: Socket): void {
    const act = this.#act
    if (act && bytes[3] === frameType.data && bytes.length > frameHeaderBytes) {
      this.#act = undefined
      act({ bytes, stream: bytes.readUInt32BE(5), payload: bytes.subarray(frameHeaderBytes) }, client)
    } else client.write(bytes)
  }
}

function half(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.length >> 1)
}
