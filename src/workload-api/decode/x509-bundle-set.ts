import { X509BundleSet } from '../../bundle/index.js'
import type { X509BundlesMessage } from '../dialects/dialect.js'
import type { CompleteLimits } from '../limits.js'
import { crlWarnings, decodeBundleKeys, decodeCrls, decodeX509Bundle } from './bundles.js'
import { unusable } from './unusable.js'
import type { Decoded } from './x509-context.js'

/** What FetchX509Bundles answered. Empty bytes are a trust domain of which nothing is trusted. */
export function decodeX509BundleSet(
  { bundles, crls }: X509BundlesMessage,
  limits: CompleteLimits,
  now: Date,
): Decoded<X509BundleSet> {
  if (bundles.size === 0) throw unusable('it holds no bundle')
  const lists = decodeCrls(crls, limits)
  const decoded = decodeBundleKeys(bundles, limits).map(([trustDomain, der]) =>
    decodeX509Bundle(trustDomain, der, lists, limits),
  )
  return { value: new X509BundleSet(decoded), warnings: crlWarnings(decoded, now) }
}
