import type { X509Bundle, X509BundleSource } from '../bundle/index.js'
import { sameBytes } from '../encoding/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import type { TlsPurpose } from './path-rules.js'
import type { VerifiedX509Svid } from './verify-x509-svid.js'

const maxPerBundle = 1000
const maxHints = 4000
/**
 * Of a whole chain. Real ones take two to six kilobytes; a peer with a CA of its own could send leaves of any size and
 * have a thousand of them kept here. What is longer is proved anew each time.
 */
const maxChainBytes = 16_384
/** Octets from the end of a certificate, which is its signature: enough to tell certificates apart. */
const tailLength = 24

interface Hint {
  readonly trustDomain: TrustDomain
  readonly validUntilMs: number
}

interface Entry {
  /** Every byte that was presented, in copies of our own. */
  readonly chain: readonly Uint8Array[]
  readonly validFromMs: number
  readonly validUntilMs: number
  readonly verified: VerifiedX509Svid
}

/**
 * Remembers what was proved, so that a peer who connects again costs a comparison and no signature.
 *
 * An answer is given only for the very same bytes (the whole chain, not a hash or the leaf alone), asked for the same
 * purpose, against the very same bundle object (which is immutable, revocation lists included, so that object is its
 * generation), at a time when every certificate on the path is valid. Whatever differs is proved from the beginning.
 * Refusals are not remembered, and neither are long chains.
 */
export class VerifiedPaths {
  readonly #byBundle = new WeakMap<X509Bundle, Map<string, Entry>>()
  /** Only tells which bundle to ask for. A wrong hint finds nothing. */
  readonly #hints = new Map<string, Hint>()

  find(
    chain: readonly Uint8Array[],
    bundles: X509BundleSource,
    purpose: TlsPurpose | undefined,
    nowMs: number,
  ): VerifiedX509Svid | undefined {
    const key = keyOf(chain, purpose)
    if (key === undefined) return undefined
    const { trustDomain } = this.#hints.get(key) ?? {}
    if (!trustDomain) return undefined
    const bundle = bundles.getX509Bundle(trustDomain)
    // A source may answer with the bundle of another trust domain; then nothing is proved by it.
    if (!bundle?.trustDomain.equals(trustDomain)) return undefined
    const entry = this.#byBundle.get(bundle)?.get(key)
    if (!entry || !(nowMs >= entry.validFromMs && nowMs <= entry.validUntilMs)) return undefined
    return sameChain(entry.chain, chain) ? entry.verified : undefined
  }

  keep(
    chain: readonly Uint8Array[],
    bundle: X509Bundle,
    purpose: TlsPurpose | undefined,
    verified: VerifiedX509Svid,
    nowMs: number,
  ): void {
    const key = keyOf(chain, purpose)
    const bytes = chain.reduce((sum, der) => sum + der.length, 0)
    if (key === undefined || bytes > maxChainBytes) return
    let entries = this.#byBundle.get(bundle)
    if (!entries) {
      entries = new Map()
      this.#byBundle.set(bundle, entries)
    }
    const { path } = verified
    const entry = {
      // Copies: whoever holds the certificates or the buffers of the socket cannot change what is compared with.
      chain: chain.map((der) => new Uint8Array(der)),
      validFromMs: Math.max(...path.map(({ notBeforeMs }) => notBeforeMs)),
      validUntilMs: Math.min(...path.map(({ notAfterMs }) => notAfterMs)),
      verified,
    }
    putBounded(entries, key, entry, { max: maxPerBundle, nowMs })
    const { trustDomain } = bundle
    putBounded(this.#hints, key, { trustDomain, validUntilMs: entry.validUntilMs }, { max: maxHints, nowMs })
  }

  /** How many proofs can be found again. */
  get size(): number {
    return this.#hints.size
  }
}

function keyOf(chain: readonly Uint8Array[], purpose: TlsPurpose | undefined): string | undefined {
  const [leaf] = chain
  if (!leaf || leaf.length < tailLength) return undefined
  const tail = Buffer.from(leaf.buffer, leaf.byteOffset + leaf.length - tailLength, tailLength).toString('latin1')
  return purpose === undefined ? tail : tail + purpose
}

function sameChain(known: readonly Uint8Array[], chain: readonly Uint8Array[]): boolean {
  return known.length === chain.length && known.every((der, at) => sameBytes(der, chain[at] as Uint8Array))
}

/** The oldest go when their time is over, so that peers that rotate leave nothing behind, and to make room. */
function putBounded<V extends { readonly validUntilMs: number }>(
  map: Map<string, V>,
  key: string,
  value: V,
  { max, nowMs }: { max: number; nowMs: number },
): void {
  map.delete(key)
  for (const [oldest, { validUntilMs }] of map) {
    if (map.size < max && nowMs <= validUntilMs) break
    map.delete(oldest)
  }
  map.set(key, value)
}
