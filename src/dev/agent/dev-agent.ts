import type { X509Bundle } from '../../bundle/index.js'
import { ClosedError, InvalidInputError } from '../../errors/index.js'
import { holding, sleep } from '../../flow/index.js'
import type { SpiffeId, TrustDomain } from '../../spiffe-id/index.js'
import type { X509Svid } from '../../svid/index.js'
import type { DevAuthority } from '../authority/index.js'
import { AuthorityRing } from './authority-ring.js'
import { Board } from './board.js'
import type { Trust } from './board.js'
import { readAgentOptions, readSocketName, readTtl } from './dev-agent-options.js'
import type { AgentSettings, DevAgentOptions, DevWorkloadOptions } from './dev-agent-options.js'
import { DevWorkload } from './dev-workload.js'
import { Federations } from './federations.js'
import type { DevFederation } from './federations.js'
import { createGate } from './gate.js'
import { icpDialect } from './icp-dialect.js'
import { readIdentity } from './identity.js'
import type { JwtKey } from './jwt-authority.js'
import { validateJwt } from './jwt-validation.js'
import { endpointOf, tcpAddress } from './listen-address.js'
import type { ListenAddress } from './listen-address.js'
import { reflectionServices } from './reflection-service.js'
import { SocketDirectory } from './socket-directory.js'
import { SocketServer } from './socket-server.js'
import { standardDialect } from './standard-dialect.js'
import type { TokenDesk } from './token-desk.js'
import { workloadService } from './workload-service.js'

const known = { spiffe: standardDialect, icp: icpDialect }

/** Told when the bundle of an agent has changed, or that there will be none any more. */
type TrustListener = (event: 'changed' | 'closed') => void

/**
 * A SPIFFE agent and its authority inside this process, for laptops, demos and tests: each workload gets a socket that
 * speaks the Workload API, with SVIDs that rotate at half of their life. Never for production: the keys of the authority
 * are in memory, and whoever can connect to a socket is given its identity.
 *
 * A started agent is a server and keeps the process alive, unless `unref` is set, until `close()`.
 *
 * ```ts
 * await using agent = await DevAgent.start({ trustDomain: 'example.org' })
 * const { endpoint } = await agent.workload('spiffe://example.org/web')
 * ```
 */
export class DevAgent {
  readonly #settings: AgentSettings
  readonly #ring: AuthorityRing
  readonly #directory: SocketDirectory
  readonly #workloads = new Set<DevWorkload>()
  readonly #federations = new Federations(() => this.#show())
  readonly #trustListeners = new Set<TrustListener>()
  readonly #ending = new AbortController()
  #closed: Promise<void> | undefined

  private constructor(settings: AgentSettings, ring: AuthorityRing, directory: SocketDirectory) {
    this.#settings = settings
    this.#ring = ring
    this.#directory = directory
  }

  /**
   * Makes an authority and starts to serve.
   * @throws InvalidInputError for an option that cannot be; SpiffeError with `ERR_DEV_AGENT` when it cannot listen.
   */
  static async start(options: DevAgentOptions): Promise<DevAgent> {
    const settings = readAgentOptions(options)
    const ring = await AuthorityRing.create(settings.trustDomain, settings.now)
    const agent = new DevAgent(settings, ring, await SocketDirectory.open(settings.directory))
    try {
      for (const id of settings.workloads) await agent.workload(id)
    } catch (error) {
      await agent.close()
      throw error
    }
    return agent
  }

  get trustDomain(): TrustDomain {
    return this.#settings.trustDomain
  }

  /** The authority that issues now; `rotateAuthority()` puts another in its place. */
  get authority(): DevAuthority {
    return this.#ring.active
  }

  /** The roots of this trust domain that are trusted now, and what they have revoked. */
  get bundle(): X509Bundle {
    return this.#ring.bundle()
  }

  /** The sockets that are open, oldest first. */
  get workloads(): readonly DevWorkload[] {
    return [...this.#workloads]
  }

  /** What this is and what it serves, in a few lines, for a program that starts it to print. */
  get description(): string {
    const served = this.workloads.flatMap(({ endpoint, svids }) =>
      svids.map(({ id }) => `  ${id.toString()}  ${endpoint}`),
    )
    return [
      `Dev agent for ${this.trustDomain.idString}: development and tests only.`,
      'Its authority lives in the memory of this process; whoever can connect to a socket is given its identity.',
      ...served,
    ].join('\n')
  }

  /**
   * Opens a socket for a workload and issues its identity. Each call is a socket of its own, so an ID may have several.
   * @param id - A SPIFFE ID of the agent's trust domain, with a path.
   */
  async workload(id: string | SpiffeId, options: DevWorkloadOptions = {}): Promise<DevWorkload> {
    this.#assertOpen()
    const { trustDomain, svidTtlMs, jwtTtlMs, dialects, unref, now, onCall } = this.#settings
    const first = { id, hint: options.hint, dnsNames: options.dnsNames }
    const name = readIdentity(first, trustDomain, []).id.path.slice(1).replaceAll('/', '-')
    const ttlMs = readTtl('svidTtlMs', options.svidTtlMs ?? svidTtlMs)

    const board = new Board()
    const tokens: TokenDesk = {
      sign: (subject, audience) => this.#ring.issueJwt(subject, audience, jwtTtlMs),
      validate: (token, audience) => validateJwt(token, audience, (name) => this.#jwtKeysOf(name), now()),
    }
    const address = this.#listenAddress(name, options)
    const server = new SocketServer(address, {
      services: [
        ...dialects.map((dialect) => workloadService(known[dialect], board, tokens)),
        ...reflectionServices(dialects.map((dialect) => known[dialect].service)),
      ],
      interceptors: [createGate((call) => onCall({ ...call, endpoint: endpointOf(server.address) }))],
      unref,
    })
    await server.listen()
    if (this.#closed) {
      await server.close()
      this.#assertOpen()
    }
    const workload = new DevWorkload(
      {
        now,
        ttlMs,
        issue: (identity) => this.#ring.issueX509(identity, ttlMs),
        trust: () => this.#trust(),
        closed: (gone) => {
          this.#workloads.delete(gone)
          if (address.kind === 'unix') this.#directory.release(address.path)
        },
      },
      board,
      server,
    )
    this.#workloads.add(workload)
    try {
      await workload.add(first, ...(options.also ?? []))
    } catch (error) {
      await workload.close()
      throw error
    }
    return workload
  }

  /** Issues every SVID anew; then all sockets send theirs. */
  async rotate(): Promise<void> {
    this.#assertOpen()
    await this.#rotate(this.workloads)
  }

  /** Rotates what is past half of its life by the agent's clock, for a test that has moved the clock. */
  async rotateDue(): Promise<void> {
    this.#assertOpen()
    const now = this.#settings.now().getTime()
    await this.#rotate(this.workloads.filter(({ rotateAtMs }) => rotateAtMs <= now))
  }

  /**
   * Hands out the bundle of a foreign trust domain, so that workloads here can prove peers from there. One way: for
   * both, call it on either agent. An agent's bundle is followed as it changes, until one of the two closes.
   * @param partner - The other agent, or a bundle that stays as it is. It replaces an earlier one of its trust domain.
   */
  federateWith(partner: DevAgent | X509Bundle): DevFederation {
    this.#assertOpen()
    const { trustDomain } = partner
    if (trustDomain.equals(this.trustDomain)) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', `${trustDomain.name} is this agent's own trust domain`)
    }
    if (!(partner instanceof DevAgent)) {
      return this.#federations.tie(
        trustDomain,
        () => ({ bundle: partner, jwtKeys: undefined }),
        () => undefined,
      )
    }
    partner.#assertOpen()
    const listener: TrustListener = (event) => {
      if (event === 'closed') federation.end()
      else this.#show()
    }
    partner.#trustListeners.add(listener)
    const federation = this.#federations.tie(
      trustDomain,
      () => ({ bundle: partner.bundle, jwtKeys: partner.#ring.jwtKeys() }),
      () => partner.#trustListeners.delete(listener),
    )
    return federation
  }

  /**
   * Takes back one certificate: its authority signs a revocation list that names it, and the agent delivers the list
   * with its bundle, also to workloads of the agents that federate with this one. Whoever follows the bundle refuses the
   * certificate from then on; its owner has a good one again after `rotate()`. The ICP dialect has no room for the list.
   * @throws InvalidInputError for an SVID that no trusted authority of this agent issued.
   */
  async revoke(svid: X509Svid): Promise<void> {
    this.#assertOpen()
    await this.#ring.revoke(svid.leaf)
    this.#publishRoots()
  }

  /** First step of a roll-over: the next authority's root is published and trusted; nothing is issued by it yet. */
  async prepareAuthority(): Promise<void> {
    this.#assertOpen()
    await this.#ring.prepare()
    this.#publishRoots()
  }

  /** Second step: every SVID is issued anew by the next authority. The old root stays trusted. */
  async activateAuthority(): Promise<void> {
    this.#assertOpen()
    this.#ring.activate()
    await this.rotate()
  }

  /** Last step: old roots are trusted no longer. */
  retireAuthorities(): void {
    this.#assertOpen()
    this.#ring.retire()
    this.#publishRoots()
  }

  /**
   * Replaces the authority as an orderly roll-over does: publish the new root, issue by it, remove the old one. Peers
   * that follow their agent never meet an SVID whose root they do not know yet, or no longer.
   * @param options.overlapMs - How long to wait after the first and after the second step. Default 1 000.
   */
  async rotateAuthority({ overlapMs = 1_000 }: { overlapMs?: number | undefined } = {}): Promise<void> {
    const { signal } = this.#ending
    await this.prepareAuthority()
    await holding(sleep(overlapMs, signal))
    await this.activateAuthority()
    await holding(sleep(overlapMs, signal))
    this.retireAuthorities()
  }

  /** Ends every stream with UNAVAILABLE, closes the sockets and removes them. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #end(): Promise<void> {
    this.#ending.abort(new ClosedError('the dev agent'))
    this.#federations.clear()
    for (const listener of [...this.#trustListeners]) listener('closed')
    await Promise.all(this.workloads.map((workload) => workload.close()))
    await this.#directory.remove()
  }

  #trust(): Trust {
    const foreign = this.#federations.present()
    return {
      bundle: this.#ring.bundle(),
      federated: foreign.map(({ bundle }) => bundle),
      jwtKeys: [
        { trustDomain: this.trustDomain, keys: this.#ring.jwtKeys() },
        ...foreign.flatMap(({ bundle: { trustDomain }, jwtKeys: keys }) => (keys ? [{ trustDomain, keys }] : [])),
      ],
    }
  }

  #jwtKeysOf(name: string): readonly JwtKey[] | undefined {
    return this.#trust().jwtKeys.find(({ trustDomain }) => trustDomain.name === name)?.keys
  }

  async #rotate(workloads: readonly DevWorkload[]): Promise<void> {
    const commits = await Promise.all(workloads.map((workload) => workload.prepareRotation()))
    for (const commit of commits) commit()
  }

  /** Shows the present trust to every stream here. */
  #show(): void {
    for (const workload of this.#workloads) workload.publish()
  }

  /** The same, and tells the agents that hand out our roots. What we hand out of others is none of their business. */
  #publishRoots(): void {
    this.#show()
    for (const listener of [...this.#trustListeners]) listener('changed')
  }

  #listenAddress(name: string, { tcp, socketName }: DevWorkloadOptions): ListenAddress {
    if (tcp !== undefined && tcp !== false) return tcpAddress(tcp === true ? {} : tcp)
    const path = this.#directory.reserve(socketName === undefined ? name : readSocketName(socketName))
    return { kind: 'unix', path, mode: this.#settings.socketMode }
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError('the dev agent')
  }
}
