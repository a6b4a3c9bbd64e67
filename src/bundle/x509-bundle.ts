import { Certificate, pemDecode } from '../encoding/index.js'
import type { CertificateRevocationList } from '../encoding/index.js'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import { RevocationLists } from './revocation-lists.js'
import { findSigningFault } from './signing-profile.js'

/** The X.509 authorities of one trust domain. Immutable; no authorities means that nothing of it is trusted. */
export class X509Bundle {
  readonly trustDomain: TrustDomain
  /** Each once, in the order given. They need not be self-signed. */
  readonly authorities: readonly Certificate[]
  /** Revocation lists as delivered, DER, readable or not. */
  readonly crls: readonly Uint8Array[]
  /** Those of them that can be read and judged. Who signed them is looked at when they name a certificate. */
  readonly revocationLists: readonly CertificateRevocationList[]
  readonly #lists: RevocationLists

  private constructor(trustDomain: TrustDomain, authorities: readonly Certificate[], lists: RevocationLists) {
    // By its bytes: hashing for the first time in a process takes longer than all the rest of a small bundle.
    const unique = new Map(authorities.map((certificate) => [text(certificate.der), certificate]))
    for (const certificate of unique.values()) {
      const reason = findSigningFault(certificate, 'authority')
      if (reason !== undefined) {
        throw fault(`the certificate ${certificate.serialNumber} of ${trustDomain.name} is no authority: ${reason}`)
      }
    }
    this.trustDomain = trustDomain
    this.authorities = Object.freeze([...unique.values()])
    this.crls = lists.crls
    this.revocationLists = lists.judged
    this.#lists = lists
    Object.freeze(this)
  }

  /**
   * Reads DER certificates that follow each other, as the Workload API sends them. No bytes are an empty bundle.
   * @throws InvalidMaterialError with code `ERR_BUNDLE_MALFORMED`.
   */
  static parse(trustDomain: TrustDomain, der: Uint8Array): X509Bundle {
    return X509Bundle.fromAuthorities(
      trustDomain,
      wrap(trustDomain, () => Certificate.parseAll(der)),
    )
  }

  /** Reads a PEM text that holds at least one CERTIFICATE block; other blocks are skipped. */
  static parsePem(trustDomain: TrustDomain, text: string): X509Bundle {
    const authorities = wrap(trustDomain, () => {
      const blocks = pemDecode(text).filter(({ label }) => label === 'CERTIFICATE')
      return blocks.map(({ der }) => Certificate.parse(der))
    })
    if (authorities.length === 0) throw fault(`the PEM text for ${trustDomain.name} has no CERTIFICATE block`)
    return X509Bundle.fromAuthorities(trustDomain, authorities)
  }

  /**
   * @param crls - Revocation lists, DER, of these authorities or of intermediates below them. A list only ever takes
   *   trust away: one that is malformed, of an unknown kind or not signed by its issuer revokes nothing and is reported by
   *   {@link X509Bundle.crlFaults}; one past its `nextUpdate` still refuses every certificate that it names.
   */
  static fromAuthorities(
    trustDomain: TrustDomain,
    authorities: readonly Certificate[],
    crls: readonly Uint8Array[] = [],
  ): X509Bundle {
    return new X509Bundle(trustDomain, authorities, RevocationLists.read(crls))
  }

  /** @internal The same authorities with lists that are read already, for they are those of many bundles. */
  withRevocationLists(lists: RevocationLists): X509Bundle {
    return lists === this.#lists ? this : new X509Bundle(this.trustDomain, this.authorities, lists)
  }

  /** @internal The same bundle with the lists of the other one, where those are equal to its own. */
  sharingLists(other: X509Bundle): X509Bundle {
    return this.#lists.equals(other.#lists) ? this.withRevocationLists(other.#lists) : this
  }

  /**
   * What is wrong with the revocation lists, stale ones included. Nothing of it makes the bundle unusable. A list that names
   * an authority and was not signed by it counts where an intermediate of that name signed it, and is told all the same.
   */
  crlFaults(now: Date = new Date()): readonly SpiffeError[] {
    return this.#lists.findFaults(this.authorities, now)
  }

  toPem(): string {
    return this.authorities.map((certificate) => certificate.toPem()).join('')
  }

  /** All authorities, DER, one after the other. */
  toDer(): Uint8Array {
    return Buffer.concat(this.authorities.map(({ der }) => der))
  }

  /** The same trust domain with the same authorities and revocation lists, in whatever order. */
  equals(other: X509Bundle): boolean {
    return (
      this.trustDomain.equals(other.trustDomain) &&
      sameSet(
        this.authorities.map(({ der }) => der),
        other.authorities.map(({ der }) => der),
      ) &&
      this.#lists.equals(other.#lists)
    )
  }

  toJSON(): { trustDomain: TrustDomain; authorities: readonly Certificate[] } {
    const { trustDomain, authorities } = this
    return { trustDomain, authorities }
  }
}

function sameSet(mine: readonly Uint8Array[], theirs: readonly Uint8Array[]): boolean {
  if (mine.length !== theirs.length) return false
  const [a, b] = [new Set(mine.map(text)), new Set(theirs.map(text))]
  return a.size === b.size && [...a].every((one) => b.has(one))
}

/** Bytes as a key that is compared by value. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function wrap<T>(trustDomain: TrustDomain, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof SpiffeError)) throw cause
    throw fault(`the bundle of ${trustDomain.name} cannot be read: ${cause.message}`, { cause })
  }
}

function fault(message: string, options?: { cause?: unknown }): InvalidMaterialError {
  return new InvalidMaterialError('ERR_BUNDLE_MALFORMED', message, options)
}
