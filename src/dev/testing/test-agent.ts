import type { X509Bundle } from '../../bundle/index.js'
import type { SpiffeId } from '../../spiffe-id/index.js'
import type { X509Svid } from '../../svid/index.js'
import type { DevAgent } from '../agent/index.js'
import type {
  DevAgentOptions,
  DevFederation,
  DevWorkload,
  DevWorkloadOptions,
  WorkloadSteering,
} from '../agent/index.js'
import { TestWire } from './test-wire.js'

export interface TestAgentOptions extends Omit<DevAgentOptions, 'trustDomain' | 'now' | 'unref'> {
  /** Default `example.org`. */
  trustDomain?: DevAgentOptions['trustDomain'] | undefined
  /** Default one: `spiffe://<trust domain>/workload`. */
  workloads?: DevAgentOptions['workloads']
  /**
   * Where to register the clean-up of a test, which then need not close the agent: `onTestFinished` of vitest, or
   * `(cleanUp) => t.after(cleanUp)` of node:test.
   */
  after?: ((cleanUp: () => Promise<void>) => void) | undefined
}

/**
 * A real agent with a steering wheel, for tests of whatever uses an identity: it rotates, denies, dies, comes back and
 * talks rubbish when it is told to. What it is told holds for all of its sockets; for one of them alone there are
 * `workload.steering`, `workload.withdraw()` and so on. It never keeps the process alive.
 *
 * ```ts
 * const agent = await TestAgent.start({ after: onTestFinished })
 * const source = await X509Source.open({ endpoint: agent.endpoint })
 * await agent.die()
 * ```
 */
export class TestAgent {
  /** The agent itself, for what is not steering: federation, roll-over, further workloads. */
  readonly agent: DevAgent
  readonly #clock: { aheadMs: number }
  readonly #wires = new Set<TestWire>()

  private constructor(agent: DevAgent, clock: { aheadMs: number }) {
    this.agent = agent
    this.#clock = clock
  }

  static async start({ trustDomain = 'example.org', after, ...options }: TestAgentOptions = {}): Promise<TestAgent> {
    // Loaded now: who only mints certificates with this folder need not load a gRPC server.
    const { DevAgent } = await import('../agent/index.js')
    const clock = { aheadMs: 0 }
    const started = await DevAgent.start({
      workloads: [`spiffe://${trustDomain.toString()}/workload`],
      ...options,
      trustDomain,
      unref: true,
      now: () => new Date(Date.now() + clock.aheadMs),
    })
    const agent = new TestAgent(started, clock)
    after?.(() => agent.close())
    return agent
  }

  /** The address of the first workload. */
  get endpoint(): string {
    const [first] = this.agent.workloads
    return first?.endpoint ?? ''
  }

  /** The sockets that are open, oldest first. */
  get workloads(): readonly DevWorkload[] {
    return this.agent.workloads
  }

  get bundle(): X509Bundle {
    return this.agent.bundle
  }

  /** Opens a further socket; steering that was set before does not hold for it. */
  workload(id: string | SpiffeId, options?: DevWorkloadOptions): Promise<DevWorkload> {
    return this.agent.workload(id, options)
  }

  /**
   * A line to a workload's socket that can be told to do to its bytes what no agent does: see {@link TestWire}. It is
   * closed with the agent.
   * @param workload - Default the first one.
   */
  async wire(workload: DevWorkload | undefined = this.workloads[0]): Promise<TestWire> {
    const wire = await TestWire.start(workload?.endpoint ?? '')
    this.#wires.add(wire)
    return wire
  }

  /** Issues every SVID anew, now. */
  rotate(): Promise<void> {
    return this.agent.rotate()
  }

  /**
   * Moves the agent's clock, by which certificates and tokens are dated; what is then past half of its life rotates.
   * The clocks of others stay: after `advance(-7_200_000)` and `rotate()`, SVIDs of one hour arrive expired.
   */
  async advance(ms: number): Promise<void> {
    this.#clock.aheadMs += ms
    await this.agent.rotateDue()
  }

  /** Hands out the bundle of another agent and follows it, or a bundle as it is. */
  federateWith(partner: TestAgent | DevAgent | X509Bundle): DevFederation {
    return this.agent.federateWith(partner instanceof TestAgent ? partner.agent : partner)
  }

  /**
   * Has the authority revoke a certificate and delivers the revocation list: `agent.revoke(agent.workloads[0].svid)`.
   * Peers that follow their agent refuse it from then on, until the workload has another one by `rotate()`.
   */
  revoke(svid: X509Svid): Promise<void> {
    return this.agent.revoke(svid)
  }

  /** Takes the identities back: PERMISSION_DENIED, also for open streams, until `restore()`. */
  withdraw(): void {
    for (const workload of this.workloads) workload.withdraw()
  }

  /** Gives them again, freshly issued. */
  async restore(): Promise<void> {
    await Promise.all(this.workloads.map((workload) => workload.restore()))
  }

  /** Ends every stream and answers every call with a gRPC status: `deny(14)` for UNAVAILABLE. Until `behave()`. */
  deny(code: number, details?: string): void {
    this.#steer((steering) => steering.deny(code, details))
  }

  /** Takes calls and says nothing. Until `behave()`. */
  stall(): void {
    this.#steer((steering) => steering.stall())
  }

  /** Sends these bytes in place of every message, in open streams too. Until `behave()`. */
  sendRaw(bytes: Uint8Array): void {
    this.#steer((steering) => steering.sendRaw(bytes))
  }

  /** Changes each response before it is sent: see `WorkloadSteering.rewrite`. Until `behave()`. */
  rewrite(change: Parameters<WorkloadSteering['rewrite']>[0]): void {
    this.#steer((steering) => steering.rewrite(change))
  }

  /** Ends the open streams with OK; new ones are served. */
  endStreams(): void {
    this.#steer((steering) => steering.endStreams())
  }

  /** Cuts the open connections; new ones are served. */
  cut(): void {
    this.#steer((steering) => steering.cut())
  }

  /** Vanishes without a goodbye, as a crash does: no listener, and no socket file unless `leaveFile`. */
  async die(options?: { leaveFile?: boolean | undefined }): Promise<void> {
    await Promise.all(this.workloads.map(({ steering }) => steering.die(options)))
  }

  /** Is back on the same addresses after `die()`. */
  async comeBack(): Promise<void> {
    await Promise.all(this.workloads.map(({ steering }) => steering.comeBack()))
  }

  /** Ends whatever `deny`, `stall`, `sendRaw` and `rewrite` set; the true state is sent where it differs. */
  behave(): void {
    this.#steer((steering) => steering.behave())
  }

  /** Ends every stream with UNAVAILABLE, closes the sockets and removes them. Twice does no harm. */
  async close(): Promise<void> {
    await this.agent.close()
    await Promise.all([...this.#wires].map((wire) => wire.close()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #steer(act: (steering: WorkloadSteering) => void): void {
    for (const { steering } of this.workloads) act(steering)
  }
}
