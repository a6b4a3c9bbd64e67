import { InvalidInputError } from '../errors/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'

/**
 * Bundles by the name of their trust domain.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when two are of one trust domain.
 */
export function byTrustDomain<B extends { readonly trustDomain: TrustDomain }>(
  bundles: Iterable<B>,
): ReadonlyMap<string, B> {
  const found = new Map<string, B>()
  for (const bundle of bundles) {
    const { name } = bundle.trustDomain
    if (found.has(name)) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', `expected one bundle for each trust domain; ${name} has two`)
    }
    found.set(name, bundle)
  }
  return found
}
