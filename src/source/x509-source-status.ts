import type { SourceStatus } from './source-status.js'

/** A snapshot of how an `X509Source` is doing. Plain data, without key or certificate: fit for a health endpoint. */
export interface X509SourceStatus extends SourceStatus {
  /** The SVID in use; `undefined` when there is none. */
  readonly svid: SvidStatus | undefined
}

export interface SvidStatus {
  readonly spiffeId: string
  readonly serialNumber: string
  readonly expiresAt: Date
  /** Since it came, in milliseconds. */
  readonly ageMs: number
  /** Until it expires, in milliseconds; negative afterwards. */
  readonly remainingMs: number
}
