import { base64Decode, base64Encode, Certificate, JsonNumber, sameKey, type JsonValue } from '../encoding/index.js'
import { SpiffeError } from '../errors/index.js'
import { expectMs } from '../flow/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import { bundleFault, readKeys } from './jwk-set.js'
import { readJwkKey } from './jwk.js'
import { JwtBundle, jwtAuthorityToJwk, readJwtAuthority, type JwtAuthority } from './jwt-bundle.js'
import { findSigningFault } from './signing-profile.js'
import { X509Bundle } from './x509-bundle.js'

// A hint is advice; beyond these bounds it would be a way to stop a consumer, or to keep it busy.
const minHintMs = 1000
const maxHintMs = 30 * 24 * 3600 * 1000

export interface SpiffeBundleParts {
  trustDomain: TrustDomain
  x509Authorities?: readonly Certificate[] | undefined
  jwtAuthorities?: readonly JwtAuthority[] | undefined
  /** Grows with every change of the contents. */
  sequenceNumber?: bigint | undefined
  /** How often the publisher wants to be asked, in milliseconds; published in whole seconds, rounded up. */
  refreshHintMs?: number | undefined
}

/** A trust bundle as a bundle endpoint publishes it: all authorities of a trust domain. Immutable. */
export class SpiffeBundle {
  readonly trustDomain: TrustDomain
  readonly sequenceNumber: bigint | undefined
  /** Between a second and thirty days, whatever was published. */
  readonly refreshHintMs: number | undefined
  /** Entries that were left out when the document was read, and why, without their contents. */
  readonly skipped: readonly string[]
  readonly #x509: X509Bundle
  readonly #jwt: JwtBundle

  private constructor(parts: SpiffeBundleParts, skipped: readonly string[]) {
    const { trustDomain, x509Authorities = [], jwtAuthorities = [], sequenceNumber, refreshHintMs } = parts
    if (sequenceNumber !== undefined && sequenceNumber < 0n) throw bundleFault('the sequence number is negative')
    this.trustDomain = trustDomain
    this.#x509 = X509Bundle.fromAuthorities(trustDomain, x509Authorities)
    this.#jwt = JwtBundle.fromAuthorities(trustDomain, jwtAuthorities)
    this.sequenceNumber = sequenceNumber
    this.refreshHintMs =
      refreshHintMs === undefined ? undefined : Math.min(Math.max(refreshHintMs, minHintMs), maxHintMs)
    this.skipped = Object.freeze([...skipped])
    Object.freeze(this)
  }

  /**
   * Reads the JWK Set of a bundle endpoint. The trust domain is the caller's: a document does not name it.
   * @throws InvalidMaterialError with code `ERR_BUNDLE_MALFORMED` when the document as a whole is unusable; single
   *   entries that cannot be used are left out and told by `skipped`.
   * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md#4-spiffe-bundle-format
   */
  static parse(trustDomain: TrustDomain, document: Uint8Array | string): SpiffeBundle {
    return SpiffeBundle.#read(trustDomain, document, { withHint: true })
  }

  /** @internal One of a bundle map, parsed already. §5.1.1: a hint in there is ignored, whatever it says. */
  static fromMapMember(trustDomain: TrustDomain, document: JsonValue): SpiffeBundle {
    return SpiffeBundle.#read(trustDomain, document, { withHint: false })
  }

  static #read(
    trustDomain: TrustDomain,
    document: Uint8Array | string | JsonValue,
    { withHint }: { withHint: boolean },
  ): SpiffeBundle {
    const { members, keys } = readKeys(trustDomain, document)
    const skipped: string[] = []
    const x509Authorities: Certificate[] = []
    const jwtAuthorities: JwtAuthority[] = []
    for (const [index, entry] of keys.entries()) {
      const reason = readEntry(entry, x509Authorities, jwtAuthorities)
      if (reason !== undefined) skipped.push(`entry ${index + 1} of ${keys.length}: ${reason}`)
    }
    const sequenceNumber = readInteger(members, 'spiffe_sequence')
    const hint = withHint ? readInteger(members, 'spiffe_refresh_hint') : undefined
    const refreshHintMs = hint === undefined ? undefined : Number(hint) * 1000
    if (sequenceNumber !== undefined && sequenceNumber < 0n) throw bundleFault('spiffe_sequence is negative')
    return new SpiffeBundle({ trustDomain, x509Authorities, jwtAuthorities, sequenceNumber, refreshHintMs }, skipped)
  }

  /** @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` for `refreshHintMs`. */
  static from(parts: SpiffeBundleParts): SpiffeBundle {
    // Whatever number it is, it is brought into its bounds.
    if (parts.refreshHintMs !== undefined) expectMs('refreshHintMs', parts.refreshHintMs, -Infinity)
    return new SpiffeBundle(parts, [])
  }

  get x509Bundle(): X509Bundle {
    return this.#x509
  }

  get jwtBundle(): JwtBundle {
    return this.#jwt
  }

  /** The JWK Set as JSON text. `keys` is always an array; the sequence number keeps all its digits. */
  marshal(): string {
    const keys = [...this.#x509.authorities.map(x509AuthorityToJwk), ...this.#jwt.authorities.map(jwtAuthorityToJwk)]
    const { sequenceNumber, refreshHintMs } = this
    const members = [`"keys":${JSON.stringify(keys)}`]
    if (sequenceNumber !== undefined) members.push(`"spiffe_sequence":${sequenceNumber.toString()}`)
    if (refreshHintMs !== undefined) members.push(`"spiffe_refresh_hint":${Math.ceil(refreshHintMs / 1000)}`)
    return `{${members.join(',')}}`
  }

  /** The same trust domain, authorities, sequence number and hint, in whatever order they were written. */
  equals(other: SpiffeBundle): boolean {
    return (
      this.#x509.equals(other.x509Bundle) &&
      this.#jwt.equals(other.jwtBundle) &&
      this.sequenceNumber === other.sequenceNumber &&
      this.refreshHintMs === other.refreshHintMs
    )
  }
}

/** Adds what the entry holds; otherwise says why it is left out. `use` is looked at before any key material. */
function readEntry(
  entry: JsonValue,
  x509Authorities: Certificate[],
  jwtAuthorities: JwtAuthority[],
): string | undefined {
  if (!(entry instanceof Map)) return 'it is no JWK'
  const jwk = entry as ReadonlyMap<string, JsonValue>
  const use = jwk.get('use')
  if (use === 'x509-svid') {
    const authority = readX509Authority(jwk)
    if (typeof authority === 'string') return authority
    x509Authorities.push(authority)
  } else if (use === 'jwt-svid') {
    const authority = readJwtAuthority(jwk)
    if (typeof authority === 'string') return authority
    jwtAuthorities.push(authority)
  } else return 'its use is missing or not known'
  return undefined
}

function readX509Authority(jwk: ReadonlyMap<string, JsonValue>): Certificate | string {
  const key = readJwkKey(jwk)
  if (key.fault !== undefined) return key.fault
  const x5c = jwk.get('x5c')
  // X509-SVID §6.2: the first value counts; an entry without one is ignored.
  const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined
  if (typeof first !== 'string') return 'it has no certificate'
  try {
    const certificate = Certificate.parse(base64Decode(first.replace(/[\r\n\t ]/g, '')))
    // RFC 7517 §4.7: the key of the certificate is the key of the JWK.
    if (!sameKey(certificate.publicKey, key.publicKey)) return 'its certificate is for another key'
    return findSigningFault(certificate, 'authority') ?? certificate
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error
    return `its certificate cannot be read: ${error.message}`
  }
}

/** X509-SVID §6.1: one certificate in `x5c`, the key parameters beside it, no `kid`. */
function x509AuthorityToJwk(certificate: Certificate): object {
  const parameters = certificate.publicKey.export({ format: 'jwk' })
  return { use: 'x509-svid', ...parameters, x5c: [base64Encode(certificate.der)] }
}

function readInteger(members: ReadonlyMap<string, JsonValue>, name: string): bigint | undefined {
  const value = members.get(name)
  if (value === undefined || value === null) return undefined
  const integer = value instanceof JsonNumber ? value.toBigInt() : undefined
  if (integer === undefined) throw bundleFault(`${name} is not an integer`)
  return integer
}
