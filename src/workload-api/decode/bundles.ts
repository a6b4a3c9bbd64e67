import { RevocationLists, X509Bundle } from '../../bundle/index.js'
import { SpiffeError } from '../../errors/index.js'
import { TrustDomain } from '../../spiffe-id/index.js'
import type { CompleteLimits } from '../limits.js'
import { unusable, within } from './unusable.js'

/** One bundle of a message. The lists of revoked certificates are the message's, so each bundle carries them. */
export function decodeX509Bundle(
  trustDomain: TrustDomain,
  der: Uint8Array,
  lists: RevocationLists,
  limits: CompleteLimits,
): X509Bundle {
  const bundle = within(`bundle of ${trustDomain.name}`, () => X509Bundle.parse(trustDomain, der))
  const { length } = bundle.authorities
  if (length > limits.maxCertificatesPerBundle) {
    throw unusable(
      `the bundle of ${trustDomain.name} holds ${length} certificates, more than the ${limits.maxCertificatesPerBundle} allowed (maxCertificatesPerBundle)`,
    )
  }
  return bundle.withRevocationLists(lists)
}

/**
 * A bundle whose contents another operator decides. What he publishes must not keep this workload from getting its own
 * next identity, so the message is used; and nothing of his trust domain is trusted until he publishes better.
 */
export function usableOrEmpty<T>(
  trustDomain: TrustDomain,
  decode: () => T,
  empty: (trustDomain: TrustDomain) => T,
  warnings: string[],
): T {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error
    warnings.push(`nothing of the trust domain ${trustDomain.name} is trusted: ${error.message}`)
    return empty(trustDomain)
  }
}

/**
 * All bundles of a message that does not say which of them is the workload's own: one that cannot be used counts as
 * empty, and a message in which none can be used is discarded.
 */
export function decodeBundleMap<V, T>(
  bundles: ReadonlyMap<string, V>,
  limits: CompleteLimits,
  decode: (trustDomain: TrustDomain, value: V) => T,
  empty: (trustDomain: TrustDomain) => T,
): { decoded: readonly T[]; warnings: readonly string[] } {
  if (bundles.size === 0) throw unusable('it holds no bundle')
  const warnings: string[] = []
  const decoded = decodeBundleKeys(bundles, limits).map(([trustDomain, value]) =>
    usableOrEmpty(trustDomain, () => decode(trustDomain, value), empty, warnings),
  )
  if (warnings.length === decoded.length) throw unusable(`no bundle of it can be used: ${warnings[0]}`)
  return { decoded, warnings }
}

/** The lists of a message, read once. One that cannot be judged is reported; too much of them is no message to use. */
export function decodeCrls(crls: readonly Uint8Array[], limits: CompleteLimits): RevocationLists {
  if (crls.length > limits.maxCrls) {
    throw unusable(`it holds ${crls.length} revocation lists, more than the ${limits.maxCrls} allowed (maxCrls)`)
  }
  const bytes = crls.reduce((sum, { length }) => sum + length, 0)
  if (bytes > limits.maxCrlBytes) {
    throw unusable(
      `its revocation lists have ${bytes} bytes, more than the ${limits.maxCrlBytes} allowed (maxCrlBytes)`,
    )
  }
  return RevocationLists.read(crls)
}

/**
 * What is wrong with the revocation lists of a message. Asked of all its authorities together: those of two trust domains
 * may have the same name, and a list is falsely signed when none of them signed it.
 */
export function crlWarnings(lists: RevocationLists, bundles: Iterable<X509Bundle>, now: Date): string[] {
  const authorities = [...bundles].flatMap((bundle) => bundle.authorities)
  const faults = lists.findFaults(authorities, now)
  return [...new Set(faults.map(({ message }) => `a revocation list of the message: ${message}`))]
}

/**
 * The trust domain that a key of a bundle map names: `spiffe://td`, or the bare name.
 * A path, capitals and everything else that a trust domain has not are refused.
 */
export function decodeBundleKey(key: string): TrustDomain {
  return within('key of a bundle', () => TrustDomain.parse(key))
}

/** Refuses two keys that name one trust domain, `td` and `spiffe://td`. */
export function decodeBundleKeys<T>(bundles: ReadonlyMap<string, T>, limits: CompleteLimits): [TrustDomain, T][] {
  if (bundles.size > limits.maxBundles) {
    throw unusable(`it holds ${bundles.size} bundles, more than the ${limits.maxBundles} allowed (maxBundles)`)
  }
  const seen = new Set<string>()
  return [...bundles].map(([key, value]) => {
    const trustDomain = decodeBundleKey(key)
    if (seen.has(trustDomain.name)) throw unusable(`it has two bundles of ${trustDomain.name}`)
    seen.add(trustDomain.name)
    return [trustDomain, value]
  })
}
