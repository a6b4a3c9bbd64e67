import { createHash, type KeyObject } from 'node:crypto'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import { checkDer } from './check-der.js'
import { DerReader, derFault, derTag } from './der-reader.js'
import { readDerTime } from './der-time.js'
import { noExtensions, readExtensions, toHex, type CertificateExtensions } from './extensions.js'
import { checkName } from './name.js'
import { pemEncode } from './pem.js'
import { importPublicKey, readPublicKeyKind, type PublicKeyKind } from './public-key-info.js'
import { readSigned, signatureHolds, type SignedData } from './signature.js'

const limits = { maxBytes: 128 * 1024, maxDepth: 24, maxElements: 8192 }
const maxCertificates = 4096

/**
 * An X.509 certificate (version 3), read strictly and completely. It judges nothing: who trusts it, at what time and
 * for what, is decided where it is used.
 */
export class Certificate {
  /** The bytes that were parsed, in a copy of its own. Not to be written to. */
  readonly der: Uint8Array
  /** Lower-case hex, as many digits as the octets need. */
  readonly serialNumber: string
  /** Name as DER; equal names have equal bytes. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly publicKeyKind: PublicKeyKind
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyInfo: Uint8Array
  readonly extensions: CertificateExtensions
  /** Values of all URI subject alternative names, raw. */
  readonly uriSans: readonly Uint8Array[]
  readonly #signature: SignedData
  #publicKey: KeyObject | undefined

  private constructor(source: Uint8Array) {
    // Not `slice`, which for a Buffer is a view of the same memory.
    const der = new Uint8Array(source)
    this.der = der
    checkDer(der, 'certificate', limits)
    this.#signature = readSigned(der, 'certificate', 'tbsCertificate')
    const { signed, algorithm } = this.#signature
    const tbs = new DerReader(signed).enter(derTag.sequence, 'tbsCertificate')
    // Earlier versions have no extensions, so they cannot say whether they are a CA.
    if (tbs.peek() !== 0xa0 || tbs.enter(0xa0, 'version').smallInteger('version') !== 2) {
      throw derFault('only version 3 is read')
    }
    const serial = tbs.integer('serialNumber')
    if (serial.length > 64) throw derFault('the serial number has more than 64 octets')
    this.serialNumber = toHex(serial)
    // RFC 5280 §4.1.1.2: the algorithm inside and outside of what is signed is the same.
    if (!sameBytes(tbs.element(derTag.sequence, 'signature'), algorithm)) {
      throw derFault('the signature algorithm differs inside and outside')
    }
    this.issuer = tbs.element(derTag.sequence, 'issuer')
    checkName(this.issuer, 'issuer')
    const validity = tbs.enter(derTag.sequence, 'validity')
    this.notBeforeMs = readDerTime(validity, 'notBefore')
    this.notAfterMs = readDerTime(validity, 'notAfter')
    validity.finish('validity')
    this.subject = tbs.element(derTag.sequence, 'subject')
    checkName(this.subject, 'subject')
    this.publicKeyInfo = tbs.element(derTag.sequence, 'subjectPublicKeyInfo')
    this.publicKeyKind = readPublicKeyKind(this.publicKeyInfo)
    if (tbs.peek() === 0x81) tbs.element(0x81, 'issuerUniqueID')
    if (tbs.peek() === 0x82) tbs.element(0x82, 'subjectUniqueID')
    const explicit = tbs.peek() === 0xa3 ? tbs.enter(0xa3, 'extensions') : undefined
    tbs.finish('tbsCertificate')
    this.extensions = explicit ? readExtensions(explicit.enter(derTag.sequence, 'extensions')) : noExtensions
    explicit?.finish('extensions')
    const { subjectAltNames } = this.extensions
    this.uriSans = Object.freeze(subjectAltNames.filter(({ type }) => type === 'uri').map(({ value }) => value))
    Object.freeze(this.extensions)
    Object.freeze(this)
  }

  /**
   * Reads exactly one DER certificate.
   * @throws InvalidMaterialError with code `ERR_CERTIFICATE_MALFORMED`.
   */
  static parse(der: Uint8Array): Certificate {
    return guard('the bytes are no certificate', () => new Certificate(der))
  }

  /** Reads DER certificates that follow each other without anything between. No bytes are no certificates. */
  static parseAll(concatenated: Uint8Array): Certificate[] {
    const certificates: Certificate[] = []
    const reader = new DerReader(concatenated)
    while (!reader.atEnd()) {
      const number = certificates.length + 1
      if (number > maxCertificates) throw fault(`more than ${maxCertificates} certificates`)
      certificates.push(
        guard(
          `certificate ${number} cannot be read`,
          () => new Certificate(reader.element(derTag.sequence, 'certificate')),
        ),
      )
    }
    return certificates
  }

  get notBefore(): Date {
    return new Date(this.notBeforeMs)
  }

  get notAfter(): Date {
    return new Date(this.notAfterMs)
  }

  /** Built at first use. Throws `ERR_CERTIFICATE_MALFORMED` when the key's numbers are no key. */
  get publicKey(): KeyObject {
    return (this.#publicKey ??= guard('its public key cannot be used', () => importPublicKey(this.publicKeyInfo)))
  }

  /** basicConstraints says that this is a CA. */
  get isCa(): boolean {
    return this.extensions.isCa
  }

  /** SHA-256 of the DER, lower-case hex. */
  get fingerprint(): string {
    return createHash('sha256').update(this.der).digest('hex')
  }

  /** Issuer and subject are one name, which alone proves nothing. */
  get isSelfIssued(): boolean {
    return sameBytes(this.issuer, this.subject)
  }

  /** The issuer's name is this one's issuer, the key identifiers do not contradict, and its key made the signature. */
  isIssuedBy(issuer: Certificate): boolean {
    return this.namesAsIssuer(issuer) && this.isSignedBy(issuer)
  }

  /** Name and key identifiers only: cheap, and no proof. */
  namesAsIssuer(issuer: Certificate): boolean {
    if (!sameBytes(this.issuer, issuer.subject)) return false
    const aki = this.extensions.authorityKeyId
    if (!aki) return true
    const ski = issuer.extensions.subjectKeyId
    if (aki.keyId && ski && !sameBytes(aki.keyId, ski)) return false
    if (aki.serialNumber !== undefined && aki.serialNumber !== issuer.serialNumber) return false
    return !aki.issuerName || sameBytes(aki.issuerName, issuer.issuer)
  }

  /** The issuer's key made this signature: about 45 µs with P-256. */
  isSignedBy(issuer: Certificate): boolean {
    return signatureHolds(this.#signature, issuer.publicKeyKind.type, () => issuer.publicKey)
  }

  equals(other: Certificate): boolean {
    return sameBytes(this.der, other.der)
  }

  toPem(): string {
    return pemEncode('CERTIFICATE', this.der)
  }

  toJSON(): { serialNumber: string; notBefore: string; notAfter: string; fingerprint: string } {
    const { serialNumber, notBefore, notAfter, fingerprint } = this
    return { serialNumber, notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(), fingerprint }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return { certificate: this.toJSON() }
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

function guard<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw fault(cause instanceof SpiffeError ? `${what}: ${cause.message}` : what, { cause })
  }
}

function fault(message: string, options?: { cause?: unknown }): InvalidMaterialError {
  return new InvalidMaterialError('ERR_CERTIFICATE_MALFORMED', message, options)
}
