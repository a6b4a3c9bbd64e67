import type { X509Bundle, X509BundleSource } from '../bundle/index.js'
import { Certificate } from '../encoding/index.js'
import { InvalidInputError, SpiffeError, UntrustedPeerError } from '../errors/index.js'
import type { SpiffeId } from '../spiffe-id/index.js'
import { readLeafProfile } from './leaf-profile.js'
import type { TlsPurpose } from './path-rules.js'
import { PathSearch } from './path-search.js'
import { VerifiedPaths } from './verified-paths.js'

const maxPresented = 32

const verifiedPaths = new VerifiedPaths()

export interface VerifyX509SvidOptions {
  /** The time to verify for. Default the current time. */
  now?: Date | undefined
  /**
   * What extKeyUsage has to allow along the path, where it is present. Default: the use in TLS as server or as client,
   * whichever; the standard leaves the purpose of a peer's certificate unjudged.
   */
  purpose?: TlsPurpose | undefined
}

/** What {@link verifyX509Svid} proved. Immutable. */
export interface VerifiedX509Svid {
  readonly id: SpiffeId
  readonly leaf: Certificate
  /** Leaf first, authority last. */
  readonly path: readonly Certificate[]
  /** The earliest end of validity on the path. */
  readonly expiresAt: Date
  /** The bundle that holds the authority. */
  readonly bundle: X509Bundle
}

/**
 * Proves that a chain is an X509-SVID issued inside the leaf's own trust domain.
 * @param chain - DER certificates, leaf first, one or more; the order of the rest does not matter.
 * @param bundles - Authorities by trust domain; only the leaf's domain is consulted.
 * @returns The leaf's SPIFFE ID and the path to the authority, leaf first.
 * @throws UntrustedPeerError with code `ERR_X509_SVID_MALFORMED`, `ERR_BUNDLE_NOT_FOUND`, `ERR_X509_SVID_EXPIRED`,
 *   `ERR_X509_SVID_NOT_YET_VALID`, `ERR_X509_SVID_REVOKED`, `ERR_X509_CHAIN_UNSUPPORTED` or `ERR_X509_CHAIN_UNTRUSTED`.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md#5-validation
 */
export function verifyX509Svid(
  chain: readonly Uint8Array[],
  bundles: X509BundleSource,
  options?: VerifyX509SvidOptions,
): VerifiedX509Svid {
  const nowMs = options?.now?.getTime() ?? Date.now()
  if (Number.isNaN(nowMs)) throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'expected `now` to be a valid date')
  const purpose = options?.purpose
  const known = verifiedPaths.find(chain, bundles, purpose, nowMs)
  if (known) return known
  const certificates = parseChain(chain)
  const [leaf, ...presented] = certificates
  if (!leaf) throw new UntrustedPeerError('ERR_X509_SVID_MALFORMED', 'expected a certificate, found an empty chain')
  const profile = readLeafProfile(leaf)
  if (profile.fault !== undefined) {
    throw new UntrustedPeerError('ERR_X509_SVID_MALFORMED', `the peer's certificate is no X509-SVID: ${profile.fault}`)
  }
  const { trustDomain } = profile.id
  const bundle = bundles.getX509Bundle(trustDomain)
  if (!bundle?.trustDomain.equals(trustDomain)) {
    throw new UntrustedPeerError(
      'ERR_BUNDLE_NOT_FOUND',
      `there is no bundle for the trust domain ${trustDomain.name} of ${profile.id.toString()}`,
    )
  }
  const found = new PathSearch({ leaf, presented, bundle, nowMs, purpose }).run()
  if ('code' in found)
    throw new UntrustedPeerError(found.code, `${profile.id.toString()} is not proved: ${found.message}`)
  const expiresAtMs = Math.min(...found.map(({ notAfterMs }) => notAfterMs))
  const verified = Object.freeze({
    id: profile.id,
    leaf,
    path: Object.freeze(found),
    // Of its own for everyone: a proof is kept for the next handshake, and a Date can be changed.
    get expiresAt() {
      return new Date(expiresAtMs)
    },
    bundle,
  })
  // What was parsed, not what was passed: only those bytes are proved.
  const proved = certificates.map(({ der }) => der)
  verifiedPaths.keep(proved, bundle, purpose, verified, nowMs)
  return verified
}

function parseChain(chain: readonly Uint8Array[]): Certificate[] {
  if (chain.length > maxPresented) {
    throw new UntrustedPeerError(
      'ERR_X509_CHAIN_UNTRUSTED',
      `the peer sent ${chain.length} certificates; ${maxPresented} are read`,
    )
  }
  return chain.map((der, index) => {
    try {
      return Certificate.parse(der)
    } catch (cause) {
      if (!(cause instanceof SpiffeError)) throw cause
      const message = `certificate ${index + 1} of ${chain.length} from the peer: ${cause.message}`
      throw new UntrustedPeerError('ERR_X509_SVID_MALFORMED', message, { cause })
    }
  })
}
