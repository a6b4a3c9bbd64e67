import { X509Bundle, X509BundleSet } from '../../bundle/index.js'
import type { X509BundlesMessage } from '../dialects/dialect.js'
import type { CompleteLimits } from '../limits.js'
import { crlWarnings, decodeBundleMap, decodeCrls, decodeX509Bundle } from './bundles.js'
import type { Decoded } from './x509-context.js'

/** What FetchX509Bundles answered. Empty bytes are a trust domain of which nothing is trusted. */
export function decodeX509BundleSet(
  { bundles, crls }: X509BundlesMessage,
  limits: CompleteLimits,
  now: Date,
): Decoded<X509BundleSet> {
  const lists = decodeCrls(crls, limits)
  const { decoded, warnings } = decodeBundleMap(
    bundles,
    limits,
    (trustDomain, der) => decodeX509Bundle(trustDomain, der, lists, limits),
    (trustDomain) => X509Bundle.fromAuthorities(trustDomain, []).withRevocationLists(lists),
  )
  return { value: new X509BundleSet(decoded), warnings: [...warnings, ...crlWarnings(lists, decoded, now)] }
}
