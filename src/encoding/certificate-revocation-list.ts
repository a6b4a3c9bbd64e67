import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import { sameBytes, type Certificate } from './certificate.js'
import { checkDer } from './check-der.js'
import { DerReader, derFault, derTag } from './der-reader.js'
import { readDerTime } from './der-time.js'
import { toHex } from './extensions.js'
import { checkName } from './name.js'
import { oid } from './oids.js'
import { readSigned, signatureHolds, type SignedData } from './signature.js'

const limits = { maxBytes: 16 * 1024 * 1024, maxDepth: 24, maxElements: 4_000_000 }
const maxRememberedSigners = 64

/** A certificate revocation list (RFC 5280 §5), read strictly. It judges nothing, not even its own signature. */
export class CertificateRevocationList {
  /** The bytes that were parsed, in a copy of its own. Not to be written to. */
  readonly der: Uint8Array
  /** Name as DER. */
  readonly issuer: Uint8Array
  readonly thisUpdateMs: number
  readonly nextUpdateMs: number | undefined
  /**
   * What makes the list one that cannot be judged: a critical extension that is unknown, a delta, or an indirect list.
   */
  readonly unsupported: string | undefined
  /** What the list says of its signer's key: a hint, no proof. */
  readonly authorityKeyId: Uint8Array | undefined
  readonly #revoked: ReadonlySet<string>
  readonly #signature: SignedData
  readonly #signers = new Map<string, boolean>()

  private constructor(source: Uint8Array) {
    // Not `slice`, which for a Buffer is a view of the same memory.
    const der = new Uint8Array(source)
    this.der = der
    checkDer(der, 'revocation list', limits)
    this.#signature = readSigned(der, 'revocation list', 'tbsCertList')
    const { signed, algorithm } = this.#signature
    const tbs = new DerReader(signed).enter(derTag.sequence, 'tbsCertList')
    const isVersion2 = tbs.peek() === derTag.integer
    if (isVersion2 && tbs.smallInteger('version') !== 1) throw derFault('unknown version')
    if (!sameBytes(tbs.element(derTag.sequence, 'signature'), algorithm)) {
      throw derFault('the signature algorithm differs inside and outside')
    }
    this.issuer = tbs.element(derTag.sequence, 'issuer')
    checkName(this.issuer, 'issuer')
    this.thisUpdateMs = readDerTime(tbs, 'thisUpdate')
    const next = tbs.peek()
    const hasNext = next === derTag.utcTime || next === derTag.generalizedTime
    this.nextUpdateMs = hasNext ? readDerTime(tbs, 'nextUpdate') : undefined
    const problems: string[] = []
    this.#revoked =
      tbs.peek() === derTag.sequence
        ? readEntries(tbs.enter(derTag.sequence, 'entries'), isVersion2, problems)
        : new Set()
    let authorityKeyId: Uint8Array | undefined
    if (isVersion2 && tbs.peek() === 0xa0) {
      const explicit = tbs.enter(0xa0, 'extensions')
      authorityKeyId = readListExtensions(explicit.enter(derTag.sequence, 'extensions'), problems)
      explicit.finish('extensions')
    }
    tbs.finish('tbsCertList')
    this.unsupported = problems[0]
    this.authorityKeyId = authorityKeyId
    Object.freeze(this)
  }

  /** @throws InvalidMaterialError with code `ERR_CRL_MALFORMED`. */
  static parse(der: Uint8Array): CertificateRevocationList {
    try {
      return new CertificateRevocationList(der)
    } catch (cause) {
      const message = cause instanceof SpiffeError ? cause.message : 'unreadable'
      throw new InvalidMaterialError('ERR_CRL_MALFORMED', `the bytes are no revocation list: ${message}`, { cause })
    }
  }

  get size(): number {
    return this.#revoked.size
  }

  /** The list names this serial number, which is lower-case hex as {@link Certificate.serialNumber} is. */
  names(serialNumber: string): boolean {
    return this.#revoked.has(serialNumber)
  }

  /** The issuer's key made the signature. Each key is tried once; a long list is long to hash. */
  isSignedBy(issuer: Certificate): boolean {
    const { publicKeyInfo: key } = issuer
    const signer = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
    const known = this.#signers.get(signer)
    if (known !== undefined) return known
    const holds = signatureHolds(this.#signature, issuer.publicKeyKind.type, () => issuer.publicKey)
    if (this.#signers.size < maxRememberedSigners) this.#signers.set(signer, holds)
    return holds
  }
}

function readEntries(list: DerReader, isVersion2: boolean, problems: string[]): Set<string> {
  const revoked = new Set<string>()
  while (!list.atEnd()) {
    const entry = list.enter(derTag.sequence, 'entry')
    revoked.add(toHex(entry.integer('serial number')))
    readDerTime(entry, 'revocationDate')
    if (isVersion2 && !entry.atEnd()) {
      const extensions = entry.enter(derTag.sequence, 'entry extensions')
      forEachExtension(extensions, (id, critical) => {
        if (critical && id !== oid.reasonCode && id !== oid.invalidityDate) problems.push(`critical extension ${id}`)
      })
    }
    entry.finish('entry')
  }
  return revoked
}

/** @returns The key identifier of the signer. */
function readListExtensions(list: DerReader, problems: string[]): Uint8Array | undefined {
  let keyId: Uint8Array | undefined
  forEachExtension(list, (id, critical, value) => {
    if (id === oid.deltaCrlIndicator) problems.push('it is a delta list')
    else if (id === oid.issuingDistributionPoint) {
      const point = value.enter(derTag.sequence, 'issuingDistributionPoint')
      // [4] indirectCRL: entries may be of other issuers. The other fields narrow the list; what it names stays revoked.
      while (!point.atEnd()) if (point.any('issuingDistributionPoint').tag === 0x84) problems.push('it is indirect')
    } else if (id === oid.authorityKeyIdentifier) {
      // Only a hint: whatever is odd about it does not keep the list from being judged.
      const names =
        value.peek() === derTag.sequence ? value.enter(derTag.sequence, 'authorityKeyIdentifier') : undefined
      if (names?.peek() === 0x80) keyId = names.contents(0x80, 'authorityKeyIdentifier')
    } else if (critical && id !== oid.crlNumber) {
      problems.push(`critical extension ${id}`)
    }
  })
  return keyId
}

function forEachExtension(list: DerReader, see: (id: string, critical: boolean, value: DerReader) => void): void {
  const seen = new Set<string>()
  while (!list.atEnd()) {
    const extension = list.enter(derTag.sequence, 'extension')
    const id = extension.oid('extension')
    if (seen.has(id)) throw derFault(`the extension ${id} occurs twice`)
    seen.add(id)
    const critical = extension.peek() === derTag.boolean && extension.boolean(`extension ${id}`)
    see(id, critical, new DerReader(extension.contents(derTag.octetString, `extension ${id}`)))
    extension.finish(`extension ${id}`)
  }
}
