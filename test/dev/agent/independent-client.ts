import { credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js'
import type { Client, ClientReadableStream, ServiceError, StatusObject } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** A message as proto-loader reads it. Bytes are Buffers, absent fields their defaults. */
export interface X509SvidMessage {
  svids: { spiffe_id: string; x509_svid: Buffer; x509_svid_key: Buffer; bundle: Buffer; hint: string }[]
  crl: Buffer[]
  federated_bundles: Record<string, Buffer>
}
export interface X509BundlesMessage {
  crl: Buffer[]
  bundles: Record<string, Buffer>
}

type AnyMethod = (request: object, ...rest: unknown[]) => unknown

const options = { keepCase: true, defaults: true, arrays: true, objects: true }

function serviceOf(file: string, path: readonly string[]) {
  let found: unknown = loadPackageDefinition(loadSync(file, options))
  for (const name of path) found = (found as Record<string, unknown>)[name]
  return found as new (address: string, channelCredentials: unknown, options?: object) => Client
}

const dialects = {
  standard: serviceOf('proto/workload.proto', ['SpiffeWorkloadAPI']),
  icp: serviceOf('proto/icp_workload.proto', ['spiffe', 'workload', 'SpiffeWorkloadAPI']),
}

/** What a caller may send as the security header; `true` once is what is right. */
export function marked(...values: string[]): Metadata {
  const metadata = new Metadata()
  for (const value of values) metadata.add('workload.spiffe.io', value)
  return metadata
}

/** One server stream, read in order. */
export class StreamReader<Message> {
  readonly messages: Message[] = []
  readonly status: Promise<StatusObject>
  readonly #stream: ClientReadableStream<Message>
  readonly #waiting: (() => void)[] = []
  #read = 0

  constructor(stream: ClientReadableStream<Message>) {
    this.#stream = stream
    stream.on('data', (message: Message) => {
      this.messages.push(message)
      for (const wake of this.#waiting.splice(0)) wake()
    })
    this.status = new Promise((resolve) => {
      stream.on('error', (error: ServiceError) => resolve(error))
      stream.on('status', (status: StatusObject) => resolve(status))
    })
  }

  /** The next message that was not taken yet; throws when the stream ends first. */
  async next(): Promise<Message> {
    while (this.messages.length === this.#read) {
      const ended = await Promise.race([
        new Promise<undefined>((resolve) => this.#waiting.push(() => resolve(undefined))),
        this.status,
      ])
      if (ended && this.messages.length === this.#read) throw new Error(`ended with ${ended.code}: ${ended.details}`)
    }
    return this.messages[this.#read++]!
  }

  /** Takes messages until one fits. */
  async until(fits: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const message = await this.next()
      if (fits(message)) return message
    }
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  cancel(): void {
    this.#stream.cancel()
  }
}

/** A Workload API client made of grpc-js and proto-loader only: it shares no code with what it checks. */
export class IndependentClient {
  readonly #client: Client

  constructor(endpoint: string, dialect: keyof typeof dialects = 'standard') {
    const Service = dialects[dialect]
    const address = endpoint.startsWith('tcp://') ? endpoint.slice('tcp://'.length) : endpoint
    // A channel of its own: connections are what these tests count and cut.
    this.#client = new Service(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
  }

  stream<Message>(method: string, metadata = marked('true')): StreamReader<Message> {
    return new StreamReader(this.#method(method)({}, metadata) as ClientReadableStream<Message>)
  }

  x509Svids(metadata?: Metadata): StreamReader<X509SvidMessage> {
    return this.stream('FetchX509SVID', metadata)
  }

  x509Bundles(metadata?: Metadata): StreamReader<X509BundlesMessage> {
    return this.stream('FetchX509Bundles', metadata)
  }

  unary<Message>(method: string, request: object, metadata = marked('true')): Promise<Message> {
    return new Promise((resolve, reject) => {
      this.#method(method)(request, metadata, (error: ServiceError | null, message: Message) => {
        if (error) reject(error)
        else resolve(message)
      })
    })
  }

  /** The status of any call of the API, streaming or not. */
  async statusOf(method: string, request: object = {}, metadata = marked('true')): Promise<number> {
    if (['FetchJWTSVID', 'ValidateJWTSVID'].includes(method)) {
      return this.unary(method, request, metadata).then(
        () => 0,
        (error: unknown) => (error as ServiceError).code,
      )
    }
    return (await this.stream(method, metadata).status).code
  }

  close(): void {
    this.#client.close()
  }

  #method(name: string): AnyMethod {
    return (this.#client as unknown as Record<string, AnyMethod>)[name]!.bind(this.#client)
  }
}
