import { Status } from '../wire/status.js'
import type { Dialect } from './dialect.js'
import { icpDialect } from './icp.js'
import { standardDialect } from './standard.js'

const dialects = { spiffe: standardDialect, icp: icpDialect }

/** Any answer but these shows that the method exists, and so which dialect the agent speaks. */
const decides = new Set<number>([
  Status.invalidArgument,
  Status.permissionDenied,
  Status.resourceExhausted,
  Status.failedPrecondition,
  Status.unauthenticated,
])

/**
 * What is known of the dialect that an agent speaks. The two dialects have disjoint paths, and an agent answers
 * UNIMPLEMENTED for those of the other before any handler runs; so that answer, and no other, leads from one to the
 * other. An agent can only be exchanged for one of the other dialect where its connections break.
 */
export class KnownDialect {
  readonly #forced: Dialect | undefined
  #known: Dialect | undefined
  #knownOn: object | undefined
  /** Where an ICP agent has given this workload an SVID, which is what it answers the other calls by. */
  #attestedOn: object | undefined

  constructor(dialect: keyof typeof dialects | 'auto') {
    this.#forced = dialect === 'auto' ? undefined : dialects[dialect]
    this.#known = this.#forced
  }

  get value(): Dialect | undefined {
    return this.#known
  }

  /** The connection on which an ICP agent knows this workload. */
  get attestation(): object | undefined {
    return this.#attestedOn
  }

  /** In which order FetchX509SVID is tried on a connection. */
  orderOn(connection: object): readonly Dialect[] {
    if (this.#forced) return [this.#forced]
    // The standard comes first, also on a connection of which nothing is known yet: it needs nothing of the environment,
    // and a standard agent must not be told what is for an ICP agent.
    const isIcp = this.#knownOn === connection && this.#known === icpDialect
    return isIcp ? [icpDialect, standardDialect] : [standardDialect, icpDialect]
  }

  /** FetchX509SVID was answered with a message. */
  serves(dialect: Dialect, connection: object): void {
    this.#learn(dialect, connection)
    this.#attestedOn = connection
  }

  /** FetchX509SVID was answered with a status. */
  answers(code: number, dialect: Dialect, connection: object): void {
    if (decides.has(code)) this.#learn(dialect, connection)
  }

  /** Another call was answered with a status. */
  doubt(code: number | undefined): void {
    if (code === Status.permissionDenied) this.#attestedOn = undefined
  }

  forget(): void {
    if (!this.#forced) this.#known = undefined
  }

  mayHaveChanged(connection: object): boolean {
    return !this.#forced && this.#knownOn !== connection
  }

  /** ICP agents answer bundles and tokens out of what FetchX509SVID left in their cache, and deny them without. */
  wantsAttestation(connection: object): boolean {
    return this.#known === icpDialect && this.#attestedOn !== connection
  }

  #learn(dialect: Dialect, connection: object): void {
    this.#known = dialect
    this.#knownOn = connection
  }
}
