import type { X509Bundle } from '../../bundle/index.js'
import type { TrustDomain } from '../../spiffe-id/index.js'
import type { X509Svid } from '../../svid/index.js'
import type { CallStatus } from './call-status.js'
import { starting } from './call-status.js'
import type { JwtKey } from './jwt-authority.js'

/** Keys that prove JWT-SVIDs of one trust domain. */
export interface JwtKeySet {
  readonly trustDomain: TrustDomain
  readonly keys: readonly JwtKey[]
}

/** Whom to believe: the own trust domain and the federated ones, sorted by name. */
export interface Trust {
  readonly bundle: X509Bundle
  readonly federated: readonly X509Bundle[]
  /** The own trust domain first. */
  readonly jwtKeys: readonly JwtKeySet[]
}

/** Everything that one socket serves, at one moment. Replaced as a whole. */
export interface WorkloadSnapshot extends Trust {
  /** The default identity first. */
  readonly svids: readonly X509Svid[]
}

/** What a call meets: the snapshot, a status that ends it, bytes instead of a message, or silence. */
export type Answer =
  | { readonly kind: 'serve'; readonly snapshot: WorkloadSnapshot }
  | { readonly kind: 'refuse'; readonly status: CallStatus }
  | { readonly kind: 'raw'; readonly bytes: Buffer }
  | { readonly kind: 'stall' }

/** A call in progress, streaming or not. */
export interface LiveStream {
  /** Looks at the board again and sends what is new. */
  update(): void
  send(bytes: Buffer): void
  end(status: CallStatus): void
}

/** A function that changes a response before it is encoded; `undefined` leaves it as it is. */
export type Rewrite = (method: string, message: Readonly<Record<string, unknown>>) => object | undefined

/** The state that one socket shows, and the streams that follow it. */
export class Board {
  #own: Answer = { kind: 'refuse', status: starting }
  #forced: Answer | undefined
  /** Changes every response; steering only. */
  rewrite: Rewrite | undefined
  readonly streams = new Set<LiveStream>()

  get answer(): Answer {
    return this.#forced ?? this.#own
  }

  /** Replaces what the agent has to say. */
  show(answer: Answer): void {
    this.#own = answer
    this.update()
  }

  /** Puts something else in front of it, until it is taken away with `undefined`. */
  force(answer: Answer | undefined): void {
    this.#forced = answer
    this.update()
  }

  update(): void {
    for (const stream of [...this.streams]) stream.update()
  }
}
