import type { KeyObject } from 'node:crypto'
import { findSigningFault } from '../bundle/index.js'
import { Certificate, pemDecode, sameKey } from '../encoding/index.js'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import type { SpiffeId } from '../spiffe-id/index.js'
import { findIssuerFaults } from './issuer-faults.js'
import { readLeafProfile } from './leaf-profile.js'
import { keyFits, readPrivateKey, readPrivateKeyPem, type PrivateKeyFormat } from './private-key.js'

export interface X509SvidOptions {
  /** What the issuer calls this SVID when it issues several, `internal` for instance. Default empty. */
  hint?: string | undefined
}

export interface ParseX509SvidOptions extends X509SvidOptions {
  /** How the key is written. Default `pkcs8`, the only form that the Workload API knows; nothing is guessed. */
  keyFormat?: PrivateKeyFormat | undefined
}

/**
 * An identity of this workload: a certificate chain and its private key. Immutable; the key is printed by nothing.
 * Whether peers trust it is for their bundles to say, and whether it is still valid for {@link X509Svid.isExpired}.
 */
export class X509Svid {
  readonly id: SpiffeId
  /** Leaf first, then intermediates. */
  readonly certificates: readonly Certificate[]
  readonly hint: string
  readonly #privateKey: KeyObject

  private constructor(certificates: readonly Certificate[], privateKey: KeyObject, options?: X509SvidOptions) {
    const [leaf, ...signers] = certificates
    if (!leaf) throw fault('expected at least one certificate, found none')
    const profile = readLeafProfile(leaf)
    if (profile.fault !== undefined) throw fault(`the leaf certificate is no X509-SVID: ${profile.fault}`)
    for (const [index, signer] of signers.entries()) {
      const reason = findSigningFault(signer, 'intermediate')
      if (reason !== undefined) {
        throw fault(`certificate ${index + 2} of ${certificates.length} cannot have issued another: ${reason}`)
      }
    }
    if (!keyFits(privateKey, leaf)) {
      throw new InvalidMaterialError(
        'ERR_X509_SVID_KEY_MISMATCH',
        `the private key does not belong to the certificate of ${profile.id.toString()}`,
      )
    }
    this.id = profile.id
    this.certificates = Object.freeze([...certificates])
    this.hint = options?.hint ?? ''
    this.#privateKey = privateKey
    Object.freeze(this)
  }

  /**
   * Reads what the Workload API sends: DER certificates one after the other, leaf first, and an unencrypted PKCS#8 key.
   * Keys in the older forms PKCS#1 and SEC1 are read when `keyFormat` asks for them.
   * @throws InvalidMaterialError with code `ERR_X509_SVID_MALFORMED` or `ERR_X509_SVID_KEY_MISMATCH`.
   */
  static parse(chainDer: Uint8Array, keyDer: Uint8Array, options?: ParseX509SvidOptions): X509Svid {
    return new X509Svid(
      wrap(() => Certificate.parseAll(chainDer)),
      readPrivateKey(keyDer, options?.keyFormat ?? 'pkcs8'),
      options,
    )
  }

  /**
   * Reads CERTIFICATE blocks, leaf first, and one PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY block. Both texts may be
   * the same one.
   * @throws InvalidMaterialError with code `ERR_X509_SVID_MALFORMED` or `ERR_X509_SVID_KEY_MISMATCH`.
   */
  static parsePem(chainPem: string, keyPem: string, options?: X509SvidOptions): X509Svid {
    const certificates = wrap(() => {
      const blocks = pemDecode(chainPem).filter(({ label }) => label === 'CERTIFICATE')
      return blocks.map(({ der }) => Certificate.parse(der))
    })
    if (certificates.length === 0) throw fault('the PEM text has no CERTIFICATE block')
    const keyBlocks = wrap(() => pemDecode(keyPem))
    return new X509Svid(certificates, readPrivateKeyPem(keyBlocks), options)
  }

  get leaf(): Certificate {
    // The constructor refuses an empty chain.
    return this.certificates[0] as Certificate
  }

  /** What the issuer should do better, one sentence each; empty when all is as the standard wants it. */
  get issuerFaults(): readonly string[] {
    return findIssuerFaults(this.leaf)
  }

  get privateKey(): KeyObject {
    return this.#privateKey
  }

  /** The leaf's, lower-case hex. */
  get serialNumber(): string {
    return this.leaf.serialNumber
  }

  get notBefore(): Date {
    return this.leaf.notBefore
  }

  /** End of the leaf's validity. */
  get expiresAt(): Date {
    return this.leaf.notAfter
  }

  /** Past its validity at `now`, which is the current time unless given. */
  isExpired(now: Date = new Date()): boolean {
    // Written so that an invalid date counts as expired.
    return !(now.getTime() <= this.leaf.notAfterMs)
  }

  certificatesPem(): string {
    return this.certificates.map((certificate) => certificate.toPem()).join('')
  }

  /** The chain in DER, leaf first, one certificate after the other. */
  certificatesDer(): Uint8Array {
    return Buffer.concat(this.certificates.map(({ der }) => der))
  }

  /** The key as unencrypted PKCS#8 in PEM. Keep it out of logs. */
  privateKeyPem(): string {
    return this.#privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }

  /** The key as unencrypted PKCS#8 in DER. Keep it out of logs. */
  privateKeyDer(): Uint8Array {
    return this.#privateKey.export({ type: 'pkcs8', format: 'der' })
  }

  /** The same chain, key and hint. */
  equals(other: X509Svid): boolean {
    return (
      this.hint === other.hint &&
      this.certificates.length === other.certificates.length &&
      this.certificates.every((mine, index) => other.certificates[index]?.equals(mine) === true) &&
      sameKey(this.#privateKey, other.privateKey)
    )
  }

  toString(): string {
    return this.id.toString()
  }

  toJSON(): Record<string, unknown> {
    const { id, serialNumber, hint } = this
    return {
      id: id.toString(),
      serialNumber,
      notBefore: this.notBefore.toISOString(),
      expiresAt: this.expiresAt.toISOString(),
      ...(hint === '' ? {} : { hint }),
      privateKey: '[redacted]',
    }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { X509Svid: this.toJSON() }
  }
}

function wrap<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof SpiffeError)) throw cause
    throw fault(cause.message, { cause })
  }
}

function fault(message: string, options?: { cause?: unknown }): InvalidMaterialError {
  return new InvalidMaterialError('ERR_X509_SVID_MALFORMED', message, options)
}
