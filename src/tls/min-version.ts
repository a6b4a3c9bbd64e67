import { InvalidInputError } from '../errors/index.js'

/**
 * Reads the option `minVersion`. Callers without types could ask Node for a version that is long broken.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT`.
 */
export function readMinVersion(version: unknown): 'TLSv1.2' | 'TLSv1.3' | undefined {
  if (version === undefined || version === 'TLSv1.2' || version === 'TLSv1.3') return version
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `minVersion is ${JSON.stringify(version)}; expected 'TLSv1.2' or 'TLSv1.3'`,
  )
}
