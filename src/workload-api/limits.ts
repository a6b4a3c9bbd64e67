import { InvalidInputError } from '../errors/index.js'

/**
 * What is accepted of an agent. A message beyond a limit is discarded whole; the last good one stays. Only the bundle of
 * a foreign trust domain counts as empty instead: its size is not in the hands of our own.
 */
export interface WorkloadApiLimits {
  /** Largest message, in bytes. Default 16 MiB: a thousand federated bundles are about one. */
  maxMessageBytes?: number | undefined
  /** Most SVIDs in a message. Default 256: a workload with more entries than that is a mistake in its registration. */
  maxSvids?: number | undefined
  /** Most bundles in a message. Default 4096, four times the largest federation that is tested. */
  maxBundles?: number | undefined
  /** Most certificates in one bundle. Default 256: each costs time in every handshake that it does not fit. */
  maxCertificatesPerBundle?: number | undefined
  /** Most keys in one JWT bundle. Default 256: each is read when the bundle comes, and that is time in which nothing else runs. */
  maxKeysPerBundle?: number | undefined
  /** Most revocation lists in a message. Default 1024, one for each of a thousand domains: each proof looks into all. */
  maxCrls?: number | undefined
  /**
   * Most bytes of all revocation lists of a message. Default 4 MiB: a hundred thousand revoked certificates, and already
   * a noticeable fraction of a second of reading, during which nothing else runs.
   */
  maxCrlBytes?: number | undefined
}

export type CompleteLimits = { [Name in keyof WorkloadApiLimits]-?: number }

const defaults: CompleteLimits = {
  maxMessageBytes: 16 * 1024 * 1024,
  maxSvids: 256,
  maxBundles: 4096,
  maxCertificatesPerBundle: 256,
  maxKeysPerBundle: 256,
  maxCrls: 1024,
  maxCrlBytes: 4 * 1024 * 1024,
}

/** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when a limit is not a positive whole number. */
export function completeLimits(limits: WorkloadApiLimits = {}): CompleteLimits {
  const complete = { ...defaults }
  for (const name of Object.keys(defaults) as (keyof CompleteLimits)[]) {
    const value = limits[name]
    if (value === undefined) continue
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `expected ${name} to be a positive whole number, found ${value}`,
      )
    }
    complete[name] = value
  }
  return complete
}
