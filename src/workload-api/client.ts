import type { JwtBundleSet, X509BundleSet } from '../bundle/index.js'
import { expectOneOf, InvalidInputError, WorkloadApiError } from '../errors/index.js'
import { expectMs } from '../flow/index.js'
import { SpiffeId } from '../spiffe-id/index.js'
import { verifyJwtSvid } from '../svid/index.js'
import type { JwtSvid, X509Context } from '../svid/index.js'
import { Agent } from './agent.js'
import { defaultBackoff, expectBackoff } from './backoff.js'
import type { BackoffStrategy } from './backoff.js'
import { Calls } from './calls.js'
import type { StreamOf, WatchOptions } from './calls.js'
import { defaultTimeoutMs } from './deadline.js'
import type { CallOptions } from './deadline.js'
import { decodeIcpValidated, decodeJwtBundles, decodeJwtSvids, decodeValidated } from './decode/jwt.js'
import { decodeX509BundleSet } from './decode/x509-bundle-set.js'
import { decodeX509Context } from './decode/x509-context.js'
import type { DialectName } from './dialects/dialect.js'
import { resolveEndpoint } from './endpoint.js'
import type { Endpoint } from './endpoint.js'
import { buildIcpMetadata, expectLabels } from './icp-metadata.js'
import type { WorkloadLabels } from './icp-metadata.js'
import { completeLimits } from './limits.js'
import type { CompleteLimits, WorkloadApiLimits } from './limits.js'
import type { ValidatedJwtSvid } from './validated-jwt-svid.js'
import type { Watch, WatchHandlers } from './watch.js'
import { Status } from './wire/status.js'

export interface WorkloadApiClientOptions {
  /** Agent address: `unix:///run/agent.sock` or `tcp://127.0.0.1:8081`. Default `$SPIFFE_ENDPOINT_SOCKET`. */
  endpoint?: string | undefined
  /** How long a watch waits before it opens its stream again. Default {@link defaultBackoff}. */
  backoff?: BackoffStrategy | undefined
  /** What is accepted of the agent. */
  limits?: WorkloadApiLimits | undefined
  /**
   * Longest time until a connection stands, HTTP/2 included, in milliseconds. Default 5 000. The socket alone is waited
   * for 800 ms at most: the agent is on this host or its link.
   */
  connectTimeoutMs?: number | undefined
  /**
   * Longest silence before the first message of a stream, in milliseconds; then a watch opens a fresh one.
   * Default 60 000: an agent may attest a container for half of that.
   */
  firstMessageTimeoutMs?: number | undefined
  /**
   * Silence on the connection after which a ping asks whether the agent is alive, in milliseconds. Default 330 000:
   * gRPC servers that are not told otherwise hang up on whoever pings more often than every five minutes.
   */
  keepaliveMs?: number | undefined
  /** How long the answer to that ping may take, in milliseconds. Default 20 000. */
  keepaliveTimeoutMs?: number | undefined
  /**
   * What the agent speaks: the standard's Workload API, or the dialect of the ICP agent. Default `auto`: the agent is
   * asked in the standard's way first.
   */
  dialect?: DialectName | 'auto' | undefined
  /**
   * Whether an ICP agent is told what the environment says about this workload (`POD_*`, `SERVICE_ACCOUNT`,
   * `DOCKER_*`). A standard agent never is. Default `true`.
   */
  metadata?: boolean | undefined
  /** Labels to tell an ICP agent besides, under names that a variable cannot carry. */
  labels?: WorkloadLabels | undefined
  /** The current time, for tests. */
  now?: (() => Date) | undefined
}

/**
 * A client of the Workload API of one agent. The constructor does no I/O; the connection is made by the first call and
 * shared by all of them.
 */
export class WorkloadApiClient {
  readonly #agent: Agent
  readonly #calls: Calls
  readonly #limits: CompleteLimits
  readonly #now: () => Date

  /** @throws InvalidInputError with code `ERR_ENDPOINT_INVALID`, `ERR_ENDPOINT_NOT_CONFIGURED` or `ERR_INVALID_ARGUMENT`. */
  constructor(options: WorkloadApiClientOptions = {}) {
    this.#limits = completeLimits(options.limits)
    this.#now = options.now ?? (() => new Date())
    const labels = expectLabels(options.labels)
    expectOneOf('dialect', options.dialect, ['auto', 'spiffe', 'icp'])
    this.#agent = new Agent(resolveEndpoint(options.endpoint), {
      connectTimeoutMs: expectMs('connectTimeoutMs', options.connectTimeoutMs ?? 5_000),
      maxMessageBytes: this.#limits.maxMessageBytes,
      keepaliveMs: expectMs('keepaliveMs', options.keepaliveMs ?? 330_000, 1),
      keepaliveTimeoutMs: expectMs('keepaliveTimeoutMs', options.keepaliveTimeoutMs ?? 20_000, 1),
      firstMessageTimeoutMs: expectMs('firstMessageTimeoutMs', options.firstMessageTimeoutMs ?? 60_000, 1),
      dialect: options.dialect ?? 'auto',
      icpMetadata: () =>
        options.metadata === false
          ? { entries: {}, warnings: [] }
          : buildIcpMetadata({
              env: process.env,
              labels,
              endpoint: this.endpoint.kind,
              pid: process.pid,
              platform: process.platform,
            }),
    })
    this.#calls = new Calls(this.#agent, expectBackoff(options.backoff ?? defaultBackoff))
  }

  /** Where this client asks. */
  get endpoint(): Endpoint {
    return this.#agent.endpoint
  }

  /** What the agent is known to speak; `undefined` before it answered. */
  get dialect(): DialectName | undefined {
    return this.#agent.dialect
  }

  /**
   * Asks once for the workload's X509-SVIDs and bundles.
   * @throws WorkloadApiError, or the signal's reason.
   */
  fetchX509Context(options: CallOptions = {}): Promise<X509Context> {
    return this.#calls.fetch(this.#x509Context, options)
  }

  /**
   * The workload's X509-SVIDs and bundles, now and whenever they change. The latest wins: a slow reader skips ahead.
   * The stream is opened again whenever it ends; the iteration throws when the agent refuses for good.
   */
  watchX509Context(options: WatchOptions = {}): AsyncIterableIterator<X509Context, undefined> {
    return this.#calls.iterate(this.#x509Context, options)
  }

  /**
   * The same watch for whoever wants to hear of every message and steer the stream; `X509Source` is made of it.
   * It never holds the process.
   */
  followX509Context(handlers: WatchHandlers<X509Context>, backoff?: BackoffStrategy): Watch<X509Context> {
    return this.#calls.follow(this.#x509Context, handlers, backoff)
  }

  /**
   * Asks once for the X.509 bundles: for a workload that only verifies.
   * @throws WorkloadApiError, or the signal's reason.
   */
  fetchX509Bundles(options: CallOptions = {}): Promise<X509BundleSet> {
    return this.#calls.fetch(this.#x509Bundles, options)
  }

  /** The X.509 bundles, now and whenever they change; as {@link WorkloadApiClient.watchX509Context}. */
  watchX509Bundles(options: WatchOptions = {}): AsyncIterableIterator<X509BundleSet, undefined> {
    return this.#calls.iterate(this.#x509Bundles, options)
  }

  /** The same watch with its handlers; as {@link WorkloadApiClient.followX509Context}. */
  followX509Bundles(handlers: WatchHandlers<X509BundleSet>, backoff?: BackoffStrategy): Watch<X509BundleSet> {
    return this.#calls.follow(this.#x509Bundles, handlers, backoff)
  }

  /**
   * Asks once for the keys that verify JWT-SVIDs.
   * @throws WorkloadApiError, or the signal's reason.
   */
  fetchJwtBundles(options: CallOptions = {}): Promise<JwtBundleSet> {
    return this.#calls.fetch(this.#jwtBundles, options)
  }

  /** The keys that verify JWT-SVIDs, now and whenever they change; as {@link WorkloadApiClient.watchX509Context}. */
  watchJwtBundles(options: WatchOptions = {}): AsyncIterableIterator<JwtBundleSet, undefined> {
    return this.#calls.iterate(this.#jwtBundles, options)
  }

  /** The same watch with its handlers; as {@link WorkloadApiClient.followX509Context}. */
  followJwtBundles(handlers: WatchHandlers<JwtBundleSet>, backoff?: BackoffStrategy): Watch<JwtBundleSet> {
    return this.#calls.follow(this.#jwtBundles, handlers, backoff)
  }

  /**
   * Asks for JWT-SVIDs for one or more audiences: of all identities of this workload, the default one first, or of the
   * one that `spiffeId` names.
   * @throws WorkloadApiError, InvalidInputError, or the signal's reason.
   */
  async fetchJwtSvids(
    audience: string | readonly string[],
    options: CallOptions & { spiffeId?: string | SpiffeId | undefined } = {},
  ): Promise<readonly JwtSvid[]> {
    const audiences = typeof audience === 'string' ? [audience] : [...audience]
    if (audiences.length === 0 || audiences.includes('')) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'expected one or more audiences, none of them empty')
    }
    const spiffeId = typeof options.spiffeId === 'string' ? SpiffeId.parse(options.spiffeId) : options.spiffeId
    return this.#calls.unary(options, (dialect) => ({
      path: dialect.paths.jwtSvids,
      request: dialect.writeJwtRequest(audiences, spiffeId?.toString() ?? ''),
      read: (bytes) =>
        decodeJwtSvids(dialect.readJwtSvids(bytes), { audience: audiences, spiffeId }, this.#limits, this.#now()),
    }))
  }

  /**
   * Asks for one JWT-SVID: of the default identity, or of the one that `spiffeId` names.
   * @throws WorkloadApiError, InvalidInputError, or the signal's reason.
   */
  async fetchJwtSvid(
    audience: string | readonly string[],
    options: CallOptions & { spiffeId?: string | SpiffeId | undefined } = {},
  ): Promise<JwtSvid> {
    const [first] = await this.fetchJwtSvids(audience, options)
    // The decoder refuses an empty answer.
    return first as JwtSvid
  }

  /**
   * Has the agent validate a JWT-SVID for an audience. Where an ICP agent breaks down over a token, which it does over
   * valid ones, the token is verified here with that agent's JWT bundles.
   * @returns What the token proves.
   * @throws WorkloadApiError with code `ERR_WORKLOAD_API_REFUSED` when the agent does not accept the token;
   * UntrustedPeerError when an ICP agent accepts one that it should not have, or the verification here fails;
   * InvalidInputError; the signal's reason.
   */
  async validateJwtSvid(token: string, audience: string, options: CallOptions = {}): Promise<ValidatedJwtSvid> {
    if (token === '' || audience === '') {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'expected a token and an audience, found an empty text')
    }
    const begun = performance.now()
    try {
      return await this.#validateByAgent(token, audience, options)
    } catch (error) {
      const { timeoutMs = defaultTimeoutMs } = options
      const leftMs = Math.max(0, timeoutMs - (performance.now() - begun))
      const broken = error instanceof WorkloadApiError && error.grpcStatus === Status.unknown && this.dialect === 'icp'
      const bundles = broken
        ? await this.fetchJwtBundles({ ...options, timeoutMs: leftMs }).catch(() => undefined)
        : undefined
      options.signal?.throwIfAborted()
      if (!bundles) throw error
      return verifyJwtSvid(token, bundles, { audience, now: this.#now() })
    }
  }

  /** Ends every call and watch, and the connection. Idempotent. */
  close(): Promise<void> {
    this.#calls.close()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #validateByAgent(token: string, audience: string, options: CallOptions): Promise<ValidatedJwtSvid> {
    const { dialect, message } = await this.#calls.unary(options, (dialect) => ({
      path: dialect.paths.validateJwt,
      request: dialect.writeValidateRequest(audience, token),
      secret: token,
      read: (bytes) => ({ dialect, message: dialect.readValidated(bytes) }),
    }))
    return this.#agent.read(dialect.paths.validateJwt, () =>
      dialect.name === 'icp' ? decodeIcpValidated(message, token, audience, this.#now()) : decodeValidated(message),
    )
  }

  readonly #x509Context: StreamOf<X509Context> = {
    method: 'x509Svids',
    decode: (bytes, dialect) => decodeX509Context(dialect.readX509Svids(bytes), this.#limits, this.#now()),
    equals: (a, b) => a.equals(b),
  }

  readonly #x509Bundles: StreamOf<X509BundleSet> = {
    method: 'x509Bundles',
    decode: (bytes, dialect) => decodeX509BundleSet(dialect.readX509Bundles(bytes), this.#limits, this.#now()),
    equals: (a, b) => a.equals(b),
  }

  readonly #jwtBundles: StreamOf<JwtBundleSet> = {
    method: 'jwtBundles',
    decode: (bytes, dialect) => decodeJwtBundles(dialect.readJwtBundles(bytes), this.#limits),
    equals: (a, b) => a.equals(b),
  }
}
