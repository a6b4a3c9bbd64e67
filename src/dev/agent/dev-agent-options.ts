import { InvalidInputError } from '../../errors/index.js'
import { TrustDomain } from '../../spiffe-id/index.js'
import type { SpiffeId } from '../../spiffe-id/index.js'
import type { DevDialect } from './dialect.js'
import type { DevAgentCall } from './dev-agent-call.js'
import type { DevIdentity } from './identity.js'
import type { DevTcpOptions } from './listen-address.js'

export interface DevAgentOptions {
  /** The trust domain that the agent is the authority of: `example.org`. */
  trustDomain: string | TrustDomain
  /** Workloads to serve from the start, one socket for each; find them in `agent.workloads`. Default none. */
  workloads?: readonly (string | SpiffeId)[] | undefined
  /** Lifetime of the X509-SVIDs in milliseconds, 1 000 or more. They rotate at its half. Default one hour. */
  svidTtlMs?: number | undefined
  /** Lifetime of the JWT-SVIDs in milliseconds, 1 000 or more. Default five minutes. */
  jwtTtlMs?: number | undefined
  /**
   * Where the sockets go; made if it is not there. Whoever may connect to a socket has its identity.
   * Default: a new private directory, removed again by `close()`.
   */
  directory?: string | undefined
  /** File mode of the sockets. Default `0o600`: only this user can connect. */
  socketMode?: number | undefined
  /** How it speaks, both on each socket unless told otherwise. A client asks for `spiffe` first. */
  dialects?: readonly DevDialect[] | undefined
  /** The agent does not keep the process alive. Default `false`: it does, as any server that listens. */
  unref?: boolean | undefined
  /** The clock that certificates are dated by. Default the system's. */
  now?: (() => Date) | undefined
  /** Told of every call as it arrives. */
  onCall?: ((call: DevAgentCall) => void) | undefined
}

export interface DevWorkloadOptions {
  /** Tells this identity from others on the same socket; at most 1024 bytes. Default none. */
  hint?: string | undefined
  /** DNS names in the certificate, for peers that check host names. Default none. */
  dnsNames?: readonly string[] | undefined
  /** Further identities on the same socket, behind the first. Default none. */
  also?: readonly DevIdentity[] | undefined
  /** Lifetime in milliseconds, 1 000 or more. Default the agent's `svidTtlMs`. */
  svidTtlMs?: number | undefined
  /** File name of the socket without `.sock`: letters, digits, `.`, `_`, `-`. Default made of the SPIFFE ID's path. */
  socketName?: string | undefined
  /** Listens on a loopback TCP address in place of a Unix socket: any process of this machine can connect to it. */
  tcp?: DevTcpOptions | boolean | undefined
}

/** The agent's options, complete and checked. */
export interface AgentSettings {
  readonly trustDomain: TrustDomain
  readonly workloads: readonly (string | SpiffeId)[]
  readonly svidTtlMs: number
  readonly jwtTtlMs: number
  readonly directory: string | undefined
  readonly socketMode: number
  readonly dialects: readonly DevDialect[]
  readonly unref: boolean
  readonly now: () => Date
  readonly onCall: (call: DevAgentCall) => void
}

const hourMs = 3_600_000
const minTtlMs = 1_000

export function readAgentOptions(options: DevAgentOptions): AgentSettings {
  const { trustDomain } = options
  return {
    trustDomain: typeof trustDomain === 'string' ? TrustDomain.parse(trustDomain) : trustDomain,
    workloads: [...(options.workloads ?? [])],
    svidTtlMs: readTtl('svidTtlMs', options.svidTtlMs ?? hourMs),
    jwtTtlMs: readTtl('jwtTtlMs', options.jwtTtlMs ?? 300_000),
    directory: options.directory,
    socketMode: options.socketMode ?? 0o600,
    dialects: readDialects(options.dialects ?? ['spiffe', 'icp']),
    unref: options.unref ?? false,
    now: options.now ?? (() => new Date()),
    onCall: options.onCall ?? (() => undefined),
  }
}

export function readTtl(option: string, ttlMs: number): number {
  // Certificates and tokens count in whole seconds, so a shorter life could be over before it began.
  if (Number.isFinite(ttlMs) && ttlMs >= minTtlMs) return ttlMs
  throw new InvalidInputError('ERR_INVALID_ARGUMENT', `${option} must be ${minTtlMs} or more, found ${ttlMs}`)
}

function readDialects(given: readonly DevDialect[]): readonly DevDialect[] {
  const dialects = [...new Set(given)]
  if (dialects.length > 0 && dialects.every((dialect) => ['spiffe', 'icp'].includes(dialect))) return dialects
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `dialects must be "spiffe", "icp" or both, found ${JSON.stringify(given)}`,
  )
}

export function readSocketName(name: string): string {
  if (/^[A-Za-z0-9._-]+$/.test(name) && !/^\.+$/.test(name)) return name
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `socketName may hold letters, digits, ".", "_" and "-"; found ${JSON.stringify(name)}`,
  )
}
