import type { X509Svid } from '../../svid/index.js'
import type { WorkloadSnapshot } from './board.js'
import type { CallStatus } from './call-status.js'
import type { ValidatedJwt } from './jwt-validation.js'
import type { WireService } from './wire-service.js'

/** How an agent speaks: as the SPIFFE standard says, or as the ICP agent does. */
export type DevDialect = 'spiffe' | 'icp'

/** A response before it is encoded, its fields in camel case. */
export type Message = Readonly<Record<string, unknown>>

/** What differs between the two: the schema, the look of the messages, and the words of some refusals. */
export interface Dialect {
  /** Full name of its gRPC service. */
  readonly service: string
  /** Loaded when the first agent starts, not before: it takes longer than the rest of the start. */
  readonly load: () => WireService
  readonly x509Svids: (snapshot: WorkloadSnapshot) => Message
  readonly x509Bundles: (snapshot: WorkloadSnapshot) => Message
  readonly jwtSvids: (entries: readonly { svid: X509Svid; token: string }[]) => Message
  readonly jwtBundles: (snapshot: WorkloadSnapshot) => Message
  readonly validated: (jwt: ValidatedJwt) => Message
  /** The status as this dialect puts it. */
  readonly refusal: (method: string, status: CallStatus) => CallStatus
}
