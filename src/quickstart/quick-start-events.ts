import type { SpiffeError } from '../errors/index.js'
import type { SvidFilePaths } from '../files/index.js'

/** One certificate took the place of another. */
export interface Rotation {
  readonly oldSerialNumber: string
  readonly newSerialNumber: string
  readonly expiresAt: Date
}

/** How long the certificate in use is good for. */
export interface Expiry {
  readonly serialNumber: string
  readonly expiresAt: Date
}

/** Something that an operator should see, while the identity in use is not touched by it. */
export interface QuickStartWarning {
  readonly message: string
  /** Absent where the agent did something peculiar that is no error. */
  readonly error?: SpiffeError | undefined
}

/** What a `QuickStartSVID` emits. There is no event named `error`, so a missing listener never ends a process. */
export interface QuickStartEvents {
  /** There is an identity; only for an instance that did not wait for it. */
  ready: []
  /** A new certificate is in use for every connection made from now on. */
  rotated: [rotation: Rotation]
  /** The files on disk are those of the identity in use. */
  written: [paths: SvidFilePaths]
  /** Four fifths of the certificate's life are over and the agent has not renewed it. */
  expiring: [expiry: Expiry]
  /** The certificate has run out unrenewed; connections are refused until there is a new one. */
  expired: [expiry: Expiry]
  /** The agent took the identity away; it is asked again until it issues one. */
  withdrawn: [error: SpiffeError]
  /** The agent cannot be reached or refuses; the identity in use stays until it expires. Once for each outage. */
  unavailable: [error: SpiffeError]
  /** The end of what `withdrawn`, `unavailable` or `expired` began. */
  restored: []
  /** Something is wrong beside the identity: the files could not be written, a message of the agent was discarded. */
  warning: [warning: QuickStartWarning]
}

/** Passes one event on. */
export type Tell = <N extends keyof QuickStartEvents>(name: N, ...values: QuickStartEvents[N]) => void
