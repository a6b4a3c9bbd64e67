import { parseStrictJson, type JsonValue } from '../encoding/index.js'
import { SpiffeError } from '../errors/index.js'
import { TrustDomain } from '../spiffe-id/index.js'
import { bundleFault } from './jwk-set.js'
import { SpiffeBundle } from './spiffe-bundle.js'

/** Bundles of several trust domains in one document: the whole state, not a change to it. Immutable. */
export class SpiffeBundleMap implements Iterable<SpiffeBundle> {
  readonly #bundles: ReadonlyMap<string, SpiffeBundle>

  private constructor(bundles: ReadonlyMap<string, SpiffeBundle>) {
    this.#bundles = bundles
    Object.freeze(this)
  }

  /**
   * Reads a bundle map, whole or not at all. Its bundles have no refresh hints: there they are to be ignored (§5.1.1).
   * @throws InvalidMaterialError with code `ERR_BUNDLE_MALFORMED`, also when a trust domain occurs twice.
   * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md#5-spiffe-bundle-map
   */
  static parse(document: Uint8Array | string): SpiffeBundleMap {
    const bundles = new Map<string, SpiffeBundle>()
    for (const [key, value] of readDomains(document)) {
      // A bare name: `TrustDomain.parse` would also take the SPIFFE ID of the trust domain.
      if (key.includes(':')) throw bundleFault('a bundle map is keyed by trust domain names, not by SPIFFE IDs')
      bundles.set(key, SpiffeBundle.fromMapMember(parseName(key), value))
    }
    return new SpiffeBundleMap(bundles)
  }

  get size(): number {
    return this.#bundles.size
  }

  get(trustDomain: TrustDomain): SpiffeBundle | undefined {
    return this.#bundles.get(trustDomain.name)
  }

  [Symbol.iterator](): Iterator<SpiffeBundle> {
    return this.#bundles.values()
  }
}

function readDomains(document: Uint8Array | string): ReadonlyMap<string, JsonValue> {
  let value: JsonValue
  try {
    value = parseStrictJson(document)
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? cause.message : 'unreadable'
    throw bundleFault(`the bundle map is not JSON: ${reason}`, { cause })
  }
  const domains = value instanceof Map ? (value as ReadonlyMap<string, JsonValue>).get('trust_domains') : undefined
  if (!(domains instanceof Map)) throw bundleFault("the bundle map has no object 'trust_domains'")
  return domains as ReadonlyMap<string, JsonValue>
}

function parseName(text: string): TrustDomain {
  try {
    return TrustDomain.parse(text)
  } catch (cause) {
    const reason = cause instanceof SpiffeError ? cause.message : 'unreadable'
    throw bundleFault(`a key of the bundle map is no trust domain name: ${reason}`, { cause })
  }
}
