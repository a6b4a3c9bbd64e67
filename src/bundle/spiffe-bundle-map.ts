import { parseStrictJson, type JsonValue } from '../encoding/index.js'
import { SpiffeError } from '../errors/index.js'
import { TrustDomain } from '../spiffe-id/index.js'
import { byTrustDomain } from './by-trust-domain.js'
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

  /**
   * Makes a bundle map, to be marshalled. Refresh hints of the bundles are left out: in a map they would be ignored.
   * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when two bundles are of one trust domain.
   */
  static from(bundles: Iterable<SpiffeBundle>): SpiffeBundleMap {
    return new SpiffeBundleMap(byTrustDomain([...bundles].map(withoutHint)))
  }

  /** The bundle map as JSON text. */
  marshal(): string {
    const members = [...this.#bundles].map(([name, bundle]) => `${JSON.stringify(name)}:${bundle.marshal()}`)
    return `{"trust_domains":{${members.join(',')}}}`
  }

  /** The same trust domains with the same bundles, in whatever order. */
  equals(other: SpiffeBundleMap): boolean {
    return (
      this.size === other.size && [...this].every((bundle) => other.get(bundle.trustDomain)?.equals(bundle) === true)
    )
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

function withoutHint(bundle: SpiffeBundle): SpiffeBundle {
  const { trustDomain, x509Bundle, jwtBundle, sequenceNumber } = bundle
  const [x509Authorities, jwtAuthorities] = [x509Bundle.authorities, jwtBundle.authorities]
  return SpiffeBundle.from({ trustDomain, x509Authorities, jwtAuthorities, sequenceNumber })
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
