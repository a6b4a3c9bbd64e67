import type { RequestListener } from 'node:http'
import type { Server } from 'node:https'
import { EventEmitter } from 'eventemitter3'
import type * as httpsAdapter from '../adapters/https/index.js'
import type { HttpsServerOptions, SpiffeHttpsAgent, SpiffeHttpsAgentOptions } from '../adapters/https/index.js'
import type { X509Bundle } from '../bundle/index.js'
import { InvalidInputError, SpiffeError } from '../errors/index.js'
import { callOut } from '../flow/index.js'
import { JwtSource } from '../source/index.js'
import type { X509Source } from '../source/index.js'
import type { SpiffeId, TrustDomain } from '../spiffe-id/index.js'
import type { VerifiedJwtSvid, X509Context, X509Svid } from '../svid/index.js'
import { createTlsOptionsForClient, createTlsOptionsForServer } from '../tls/index.js'
import type { WorkloadApiClient } from '../workload-api/index.js'
import type {
  ClientTlsOptions,
  IdentitySource,
  ServerTlsPolicy,
  SpiffeClientTlsOptions,
  SpiffeServerTlsOptions,
} from '../tls/index.js'
import type { IdentityFiles } from './identity-files.js'
import { IdentityWatch } from './identity-watch.js'
import type { QuickStartEvents, Tell } from './quick-start-events.js'
import { readQuickStartOptions } from './quick-start-options.js'
import type { QuickStartOptions, QuickStartSettings } from './quick-start-options.js'
import { livenessOf, readinessOf, statusOf } from './quick-start-status.js'
import type { QuickStartStatus } from './quick-start-status.js'
import { probeHandler } from './probes.js'
import type { ProbeHandler } from './probes.js'
import { SharedInstance } from './shared-instance.js'
import { shutdownOnSignals } from './shutdown-on-signals.js'
import type { ShutdownOnSignalsOptions } from './shutdown-on-signals.js'

/**
 * This process's identity, always the newest that its agent issues: in memory for every connection made or accepted,
 * and on disk for programs that read files.
 *
 * It is a source of SVIDs and bundles itself: everything in `authsec-sdk/tls` and the adapters takes it.
 */
export class QuickStartSVID extends EventEmitter<QuickStartEvents> implements IdentitySource {
  static readonly #shared = new SharedInstance<QuickStartSVID>()

  readonly #client: WorkloadApiClient
  readonly #source: X509Source
  readonly #files: IdentityFiles
  readonly #https: typeof httpsAdapter
  readonly #watch: IdentityWatch
  #jwtSource: JwtSource | undefined
  #closing: Promise<void> | undefined

  private constructor(client: WorkloadApiClient, source: X509Source, files: IdentityFiles, https: typeof httpsAdapter) {
    super()
    this.#https = https
    this.#client = client
    this.#source = source
    this.#files = files
    this.#watch = new IdentityWatch(source, this.#tell)
  }

  /**
   * Gets the identity of this process from its agent. Calls made at the same time join, later ones get the same object,
   * and after {@link QuickStartSVID.shutdown} or a failure the next call starts afresh.
   *
   * When the files cannot be written, the identity in memory is usable all the same: a `warning` says why, and the
   * write is tried again.
   * @throws WorkloadApiError whose `code`, `endpoint` and `grpcStatus` say why there is no identity; InvalidInputError
   * for an option, `ERR_INVALID_ARGUMENT` when this process already has an identity from elsewhere; SpiffeError
   * `ERR_DIRECTORY_UNSAFE` for a `certDir` that others could write to; the signal's own reason.
   */
  static async initialize(options?: QuickStartOptions): Promise<QuickStartSVID>
  /** The same, as the Python original takes it: a socket path or an endpoint, and the directory of the files. */
  static async initialize(socketPath: string, certDir?: string): Promise<QuickStartSVID>
  static async initialize(options?: QuickStartOptions | string, certDir?: string): Promise<QuickStartSVID> {
    const settings = readQuickStartOptions(options, certDir)
    const create = (signal: AbortSignal) => QuickStartSVID.#open(settings, signal)
    const svid = await QuickStartSVID.#shared.join(settings.identity, create, settings.signal)
    await settings.ready(svid.#source)
    return svid
  }

  /** An independent one, for a process with several identities. It is not what {@link QuickStartSVID.get} returns. */
  static async create(options?: QuickStartOptions): Promise<QuickStartSVID> {
    const settings = readQuickStartOptions(options)
    return QuickStartSVID.#open(settings, settings.signal)
  }

  /**
   * What {@link QuickStartSVID.initialize} made.
   * @throws InvalidInputError `ERR_INVALID_ARGUMENT` before that.
   */
  static get(): QuickStartSVID {
    const { value } = QuickStartSVID.#shared
    if (value) return value
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'call await QuickStartSVID.initialize() first')
  }

  static async #open(settings: QuickStartSettings, signal?: AbortSignal): Promise<QuickStartSVID> {
    const made: AsyncDisposable[] = []
    // Told later, so that whoever awaits initialize() has had the time to listen.
    const early: string[] = []
    const collect = (message: string) => void early.push(message)
    try {
      // Loaded while the agent is asked: the start of whoever imports this package and serves no HTTPS does not wait for it.
      const https = import('../adapters/https/index.js')
      const client = settings.createClient()
      made.push(client)
      const source = await settings.openSource(client, signal)
      made.push(source)
      source.on('warning', collect)
      const files = await settings.openFiles(client)
      made.push(files)
      const svid = new QuickStartSVID(client, source, files, await https)
      await svid.#writeFiles()
      source.off('warning', collect)
      setImmediate(() => early.forEach((message) => svid.#tell('warning', { message })))
      return svid
    } catch (error) {
      for (const thing of made.reverse()) await thing[Symbol.asyncDispose]()
      throw error
    }
  }

  /** `spiffe://…`; also of an identity that is withdrawn or expired by now. */
  get spiffeId(): string {
    return this.#watch.svid.id.toString()
  }

  get trustDomain(): string {
    return this.#watch.svid.id.trustDomain.name
  }

  get expiresAt(): Date {
    return this.#watch.svid.expiresAt
  }

  isExpired(): boolean {
    return this.#watch.isExpired()
  }

  /** Certificate chain, PEM, leaf first. Throws what {@link QuickStartSVID.getX509Svid} throws, as the next two do. */
  get certificate(): string {
    return this.getX509Svid().certificatesPem()
  }

  /** PKCS#8, PEM. Keep it out of logs. */
  get privateKey(): string {
    return this.getX509Svid().privateKeyPem()
  }

  /** The authorities of our own trust domain, PEM. */
  get trustBundle(): string {
    const { trustDomain } = this.getX509Svid().id
    return this.context.bundles.getX509Bundle(trustDomain)?.toPem() ?? ''
  }

  /** Certificate chain and private key, PEM. */
  getCertificateDict(): { cert: string; key: string } {
    return { cert: this.certificate, key: this.privateKey }
  }

  /** Stays the same across rotations, as the other two do. */
  get certFilePath(): string {
    return this.#files.paths.certFile
  }

  get keyFilePath(): string {
    return this.#files.paths.keyFile
  }

  get caFilePath(): string {
    return this.#files.paths.caFile
  }

  /** The source underneath: every update, its status. */
  get source(): X509Source {
    return this.#source
  }

  get context(): X509Context {
    return this.#source.context
  }

  /** @throws WorkloadApiError with code `ERR_SVID_WITHDRAWN` or `ERR_X509_SVID_EXPIRED`; ClosedError. */
  getX509Svid(): X509Svid {
    return this.#source.getX509Svid()
  }

  getX509Bundle(trustDomain: TrustDomain): X509Bundle | undefined {
    return this.#source.getX509Bundle(trustDomain)
  }

  onUpdate(listener: () => void): () => void {
    return this.#source.onUpdate(listener)
  }

  /** Options for `tls.connect` and for drivers that pass them on; they follow every rotation. */
  createTlsOptionsForClient(options: ClientTlsOptions): SpiffeClientTlsOptions {
    return createTlsOptionsForClient(this, options)
  }

  /** The name that the Python original gives to it. */
  createSslContextForClient(options?: ClientTlsOptions): SpiffeClientTlsOptions {
    return createTlsOptionsForClient(this, (options ?? {}) as ClientTlsOptions)
  }

  /** Options for a TLS server. It refuses everyone until `attachSpiffe(server, svid, { authorize })`. */
  createTlsOptionsForServer(policy?: ServerTlsPolicy): SpiffeServerTlsOptions {
    return createTlsOptionsForServer(this, policy)
  }

  /** The name that the Python original gives to it. */
  createSslContextForServer(policy?: ServerTlsPolicy): SpiffeServerTlsOptions {
    return this.createTlsOptionsForServer(policy)
  }

  /** An HTTPS server whose clients have proved who they are before `listener` (or an Express application) is called. */
  createHttpsServer(options: HttpsServerOptions, listener?: RequestListener): Server {
    return this.#https.createHttpsServer(this, options, listener)
  }

  /** An agent for `https.request` and whatever takes one: it proves each server and follows every rotation. */
  httpsAgent(options: SpiffeHttpsAgentOptions): SpiffeHttpsAgent {
    return new this.#https.SpiffeHttpsAgent(this, options)
  }

  /**
   * A JWT-SVID of this identity, to be shown to `audience`; kept, and renewed at half of its life. Keep the token out of
   * logs.
   * @throws WorkloadApiError; InvalidInputError.
   */
  async fetchJwtSvid(
    audience: string | readonly string[],
    spiffeId: string | SpiffeId = this.spiffeId,
  ): Promise<string> {
    const { token } = await this.jwtSource.getJwtSvid(audience, { spiffeId })
    return token
  }

  /**
   * Proves a JWT-SVID that was shown to us as `audience`, with the newest JWT bundles of the agent.
   * @throws UntrustedPeerError whose `code` says what is wrong with it; WorkloadApiError when there are no JWT bundles;
   * InvalidInputError.
   */
  async validateJwtSvid(
    token: string,
    audience: string,
  ): Promise<{ spiffeId: string; claims: VerifiedJwtSvid['claims'] }> {
    const { id, claims } = await this.jwtSource.validate(token, audience)
    return { spiffeId: id.toString(), claims }
  }

  /** JWT-SVIDs and JWT bundles, over the same connection; opened when it is first used. */
  get jwtSource(): JwtSource {
    this.#jwtSource ??= JwtSource.start({ client: this.#client })
    return this.#jwtSource
  }

  /** How things are, for probes and logs. */
  status(): QuickStartStatus {
    return statusOf(this.#source, this.#files)
  }

  /** For `/ready` of http, Express or Fastify: 200 `{"ready":true}` while there is a valid identity, else 503. */
  readinessHandler(): ProbeHandler {
    return probeHandler(() => readinessOf(this.status()))
  }

  /** For `/healthz`: 200 `{"status":"healthy"}` or `"degraded"`, and 503 `"unhealthy"` when only a restart can help. */
  livenessHandler(): ProbeHandler {
    return probeHandler(() => livenessOf(this.status()))
  }

  /** Shuts down in good order at SIGTERM or SIGINT; see {@link shutdownOnSignals}. */
  shutdownOnSignals(options?: ShutdownOnSignalsOptions): () => void {
    return shutdownOnSignals(() => this.shutdown(), options)
  }

  /** Removes the files, ends the stream, and lets the next `initialize()` start afresh. Idempotent. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** The same. */
  close(): Promise<void> {
    return this.shutdown()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  toJSON(): Record<string, unknown> {
    const { ready, health, source } = this.status()
    const { spiffeId, expiresAt } = source.svid ?? {}
    return { spiffeId, expiresAt: expiresAt?.toISOString(), ready, health, privateKey: '[redacted]' }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { QuickStartSVID: this.toJSON() }
  }

  async #writeFiles(): Promise<void> {
    await this.#files.follow(this, {
      onWritten: () => this.#tell('written', this.#files.paths),
      // Later, so that whoever awaits initialize() has had the time to listen.
      onFailed: (error) => setImmediate(() => this.#tell('warning', toWarning(error))),
    })
  }

  async #close(): Promise<void> {
    QuickStartSVID.#shared.forget(this)
    this.#watch.stop()
    try {
      await this.#files.close()
    } finally {
      await this.#source.close()
      await this.#jwtSource?.close()
      await this.#client.close()
    }
  }

  readonly #tell: Tell = (name, ...values) => {
    callOut(() => {
      ;(this as EventEmitter<string>).emit(name, ...values)
    })
  }
}

function toWarning(error: unknown) {
  if (error instanceof SpiffeError) return { message: error.message, error }
  return { message: error instanceof Error ? error.message : String(error) }
}
