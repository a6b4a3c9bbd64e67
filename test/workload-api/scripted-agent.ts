import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, ServerCredentials, status, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js'
import type { sendUnaryData, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader'
import { DevAuthority } from '../../src/dev/authority/index.js'
import type { X509Svid } from '../../src/svid/index.js'

// An agent that does what a test tells it to, also what no agent should. Its codecs are those of @grpc/proto-loader, so
// the client's are checked against somebody else's.

const protos = { spiffe: 'workload.proto', icp: 'icp_workload.proto' } as const
const prefixes = { spiffe: '', icp: 'spiffe.workload.' } as const
type Dialect = keyof typeof protos

const definitions = {
  spiffe: loadSync(join(import.meta.dirname, '../../proto', protos.spiffe)),
  icp: loadSync(join(import.meta.dirname, '../../proto', protos.icp)),
}

export type StreamCall = ServerWritableStream<Record<string, unknown>, Buffer>
export type UnaryCall = ServerUnaryCall<Record<string, unknown>, Buffer>

/** What the agent does with the nth call of a method (0 is the first). A unary call without an answer gets none, ever. */
export type StreamScript = (call: StreamCall, nth: number) => void
export type UnaryScript = (
  request: Record<string, unknown>,
  nth: number,
  call: UnaryCall,
) => Buffer | Refusal | undefined

export class Refusal {
  readonly code: status
  readonly details: string
  constructor(code: status, details: string) {
    this.code = code
    this.details = details
  }
}

export interface Script {
  dialect?: Dialect
  FetchX509SVID?: StreamScript
  FetchX509Bundles?: StreamScript
  FetchJWTBundles?: StreamScript
  FetchJWTSVID?: UnaryScript
  ValidateJWTSVID?: UnaryScript
}

export interface SeenCall {
  method: string
  /** Every value of every metadata key. */
  metadata: Record<string, string[]>
  /** The connection that it came over. */
  connection: string
}

/** Bytes of a message by the independent codec. */
export function encode(message: string, value: object, dialect: Dialect = 'spiffe'): Buffer {
  const definition = definitions[dialect][prefixes[dialect] + message] as MessageTypeDefinition<object, object>
  return definition.serialize(value)
}

/** Ends a stream with a status. */
export function refuse(call: StreamCall, { code, details }: { code: status; details: string }): void {
  call.emit('error', { code, details })
}

/** grpc-js does not show it; where its call keeps the HTTP/2 stream is looked for by kind. */
function sessionOf(call: object): unknown {
  const queue: unknown[] = [call]
  const seen = new Set<unknown>()
  for (const value of queue) {
    if (typeof value !== 'object' || value === null || seen.has(value) || seen.size > 200) continue
    seen.add(value)
    if ('session' in value && value.constructor.name === 'ServerHttp2Stream') return value.session
    queue.push(...(Object.values(value) as unknown[]))
  }
  throw new Error('no HTTP/2 stream found under the call')
}

export const denied = { code: status.PERMISSION_DENIED, details: 'no identity issued' }

export class ScriptedAgent {
  readonly path: string
  readonly endpoint: string
  readonly seen: SeenCall[] = []
  readonly streams = new Set<StreamCall>()
  readonly #tcp: boolean
  #server: Server | undefined
  #port = 0
  readonly #sessions = new Map<unknown, string>()

  private constructor(path: string, tcp: boolean) {
    this.path = path
    this.#tcp = tcp
    this.endpoint = `unix://${path}`
  }

  /** Makes a place to listen at, and does not listen yet. */
  static async prepare(options: { tcp?: boolean } = {}): Promise<ScriptedAgent> {
    const directory = await mkdtemp(join(tmpdir(), 'scripted-agent-'))
    return new ScriptedAgent(join(directory, 'agent.sock'), options.tcp === true)
  }

  static async start(script: Script, options: { tcp?: boolean } = {}): Promise<ScriptedAgent> {
    const agent = await ScriptedAgent.prepare(options)
    await agent.listen(script)
    return agent
  }

  get tcpEndpoint(): string {
    return `tcp://127.0.0.1:${this.#port}`
  }

  count(method: string): number {
    return this.seen.filter((call) => call.method === method).length
  }

  async listen(script: Script): Promise<void> {
    const server = new Server({ 'grpc.max_send_message_length': -1 })
    for (const dialect of ['spiffe', 'icp'] as const) {
      if (dialect !== (script.dialect ?? 'spiffe')) continue
      const definition = this.#definition(dialect, script)
      if (Object.keys(definition).length > 0) server.addService(definition, this.#implementation(script))
    }
    const address = this.#tcp ? `127.0.0.1:${this.#port}` : `unix:${this.path}`
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
        if (error) reject(error)
        else resolve(port)
      })
    })
    this.#server = server
  }

  /** Sends bytes into every open stream. */
  send(bytes: Buffer): void {
    for (const call of this.streams) call.write(bytes)
  }

  /** Dies as a killed agent does: connections drop, and the socket file goes or stays. */
  async die(options: { keepFile?: boolean } = {}): Promise<void> {
    this.#server?.forceShutdown()
    this.#server = undefined
    this.streams.clear()
    if (!options.keepFile) await rm(this.path, { force: true })
  }

  async close(): Promise<void> {
    await this.die()
    await rm(join(this.path, '..'), { recursive: true, force: true })
  }

  /** A Unix socket gives its peers no name: told apart by the HTTP/2 session under the call. */
  #connectionOf(call: StreamCall | UnaryCall): string {
    const session = sessionOf(call)
    const known = this.#sessions.get(session) ?? `connection ${this.#sessions.size + 1}`
    this.#sessions.set(session, known)
    return known
  }

  #definition(dialect: Dialect, script: Script): ServiceDefinition {
    const whole = definitions[dialect][`${prefixes[dialect]}SpiffeWorkloadAPI`] as ServiceDefinition
    return Object.fromEntries(
      Object.entries(whole)
        .filter(([name]) => name in script)
        // The script sends bytes as they are, also such as no codec would write.
        .map(([name, method]) => [name, { ...method, responseSerialize: (bytes: Buffer) => bytes }]),
    )
  }

  #implementation(script: Script) {
    const counts = new Map<string, number>()
    const note = (method: string, call: StreamCall | UnaryCall) => {
      const nth = counts.get(method) ?? 0
      counts.set(method, nth + 1)
      const keys = Object.keys(call.metadata.getMap())
      const metadata = Object.fromEntries(keys.map((key) => [key, call.metadata.get(key).map(String)]))
      this.seen.push({ method, metadata, connection: this.#connectionOf(call) })
      return nth
    }
    const streams = (['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles'] as const).flatMap((name) => {
      const run = script[name]
      if (!run) return []
      const handler = (call: StreamCall) => {
        const nth = note(name, call)
        this.streams.add(call)
        const gone = () => this.streams.delete(call)
        call.on('cancelled', gone)
        call.on('close', gone)
        run(call, nth)
      }
      return [[name, handler] as const]
    })
    const unaries = (['FetchJWTSVID', 'ValidateJWTSVID'] as const).flatMap((name) => {
      const run = script[name]
      if (!run) return []
      const handler = (call: UnaryCall, callback: sendUnaryData<Buffer>) => {
        const answer = run(call.request, note(name, call), call)
        if (answer instanceof Refusal) callback({ code: answer.code, details: answer.details })
        else if (answer) callback(null, answer)
      }
      return [[name, handler] as const]
    })
    return Object.fromEntries<unknown>([...streams, ...unaries]) as never
  }
}

/** Something that listens and is no gRPC server: it answers with the bytes given, or never. */
export async function startRawServer(
  answer?: Uint8Array,
): Promise<{ endpoint: string; received: () => Buffer; close: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'raw-server-'))
  const path = join(directory, 'agent.sock')
  const sockets = new Set<Socket>()
  let received = Buffer.alloc(0)
  const server: NetServer = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (answer) socket.write(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    endpoint: `unix://${path}`,
    received: () => received,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A TCP port of the loopback interface that nobody listens on. */
export async function unusedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export interface Entry {
  spiffe_id?: string
  x509_svid?: Uint8Array
  x509_svid_key?: Uint8Array
  bundle?: Uint8Array
  hint?: string
}

/** Authorities of trust domains, and messages made of what they issue. */
export class Issuer {
  readonly authority: DevAuthority
  private constructor(authority: DevAuthority) {
    this.authority = authority
  }

  static async create(trustDomain = 'example.org'): Promise<Issuer> {
    return new Issuer(await DevAuthority.create({ trustDomain }))
  }

  get bundleDer(): Uint8Array {
    return this.authority.bundle().toDer()
  }

  issue(path = '/web', ttlMs = 3_600_000): Promise<X509Svid> {
    return this.authority.issueX509Svid({ id: `spiffe://${this.authority.trustDomain.name}${path}`, ttlMs })
  }

  /** An entry of the message, with members of it changed as a test wants. */
  entry(svid: X509Svid, change: Entry = {}): Required<Entry> {
    return {
      spiffe_id: svid.id.toString(),
      x509_svid: svid.certificatesDer(),
      x509_svid_key: svid.privateKeyDer(),
      bundle: this.bundleDer,
      hint: '',
      ...change,
    }
  }

  message(svids: X509Svid[], federated: Record<string, Uint8Array> = {}): Buffer {
    return messageOf(
      svids.map((svid) => this.entry(svid)),
      federated,
    )
  }
}

export function messageOf(
  entries: Entry[],
  federated: Record<string, Uint8Array> = {},
  crl: Uint8Array[] = [],
): Buffer {
  // The loader's names are in camel case.
  const svids = entries.map((entry) => ({
    spiffeId: entry.spiffe_id,
    x509Svid: entry.x509_svid,
    x509SvidKey: entry.x509_svid_key,
    bundle: entry.bundle,
    hint: entry.hint,
  }))
  return encode('X509SVIDResponse', { svids, federatedBundles: federated, crl })
}
