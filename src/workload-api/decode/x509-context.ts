import { X509Bundle, X509BundleSet } from '../../bundle/index.js'
import { X509Context, X509Svid } from '../../svid/index.js'
import type { X509Entry, X509Message } from '../dialects/dialect.js'
import type { CompleteLimits } from '../limits.js'
import { crlWarnings, decodeBundleKeys, decodeCrls, decodeX509Bundle, usableOrEmpty } from './bundles.js'
import { selectByHint } from './hints.js'
import { unusable, within } from './unusable.js'

export interface Decoded<T> {
  readonly value: T
  /** What was peculiar about the message and did not keep it from being used. */
  readonly warnings: readonly string[]
}

/** Workload API §4.5: a mandatory field at its default makes the message one to discard. */
function requireFields(entry: X509Entry, which: string): void {
  if (entry.spiffeId === '') throw unusable(`${which} has no spiffe_id`)
  if (entry.chain.length === 0) throw unusable(`${which} has no x509_svid`)
  if (entry.key.length === 0) throw unusable(`${which} has no x509_svid_key`)
  if (entry.bundle.length === 0) throw unusable(`${which} has no bundle`)
}

function decodeSvid(entry: X509Entry, hint: string, which: string, now: Date): X509Svid {
  requireFields(entry, which)
  const svid = within(which, () => X509Svid.parse(entry.chain, entry.key, { hint, keyFormat: entry.keyFormat }))
  if (svid.id.toString() !== entry.spiffeId) {
    throw unusable(
      `${which} is announced as ${JSON.stringify(entry.spiffeId)}, its certificate says ${svid.id.toString()}`,
    )
  }
  if (svid.isExpired(now)) {
    throw unusable(
      `${which}, ${svid.id.toString()}, expired at ${svid.expiresAt.toISOString()}; check the agent and both clocks`,
    )
  }
  return svid
}

/**
 * One message as one value, or not at all.
 * @throws InvalidMaterialError with code `ERR_WORKLOAD_API_RESPONSE_INVALID` that says which part is wrong.
 */
export function decodeX509Context(message: X509Message, limits: CompleteLimits, now: Date): Decoded<X509Context> {
  const { length } = message.svids
  if (length === 0) throw unusable('it holds no SVID')
  if (length > limits.maxSvids)
    throw unusable(`it holds ${length} SVIDs, more than the ${limits.maxSvids} allowed (maxSvids)`)
  const { selected, warnings } = selectByHint(message.svids)
  const lists = decodeCrls(message.crls, limits)
  const bundles = new Map<string, X509Bundle>()
  const own = new Map<string, Uint8Array>()
  const svids = selected.map(({ entry, place, hint }) => {
    const which = `SVID ${place} of ${length}`
    const svid = decodeSvid(entry, hint, which, now)
    const { trustDomain } = svid.id
    const known = own.get(trustDomain.name)
    if (!known) {
      own.set(trustDomain.name, entry.bundle)
      bundles.set(trustDomain.name, decodeX509Bundle(trustDomain, entry.bundle, lists, limits))
    } else if (Buffer.compare(known, entry.bundle) !== 0) {
      warnings.push(`${which} came with another bundle of ${trustDomain.name} than the first; the first is used`)
    }
    return svid
  })
  for (const [trustDomain, der] of decodeBundleKeys(message.federated, limits)) {
    if (own.has(trustDomain.name)) {
      // An agent must not replace a domain's own roots by way of the federated ones.
      warnings.push(
        `the federated bundles name ${trustDomain.name}, the workload's own trust domain; its own bundle is used`,
      )
      continue
    }
    const empty = () => X509Bundle.fromAuthorities(trustDomain, []).withRevocationLists(lists)
    const decode = () => decodeX509Bundle(trustDomain, der, lists, limits)
    bundles.set(trustDomain.name, usableOrEmpty(trustDomain, decode, empty, warnings))
  }
  warnings.push(...crlWarnings(lists, bundles.values(), now))
  return { value: new X509Context({ svids, bundles: new X509BundleSet(bundles.values()) }), warnings }
}
