import { DerReader, derFault, derTag } from './der-reader.js'
import { readNameConstraints, type NameConstraints } from './name-constraints.js'
import { readGeneralName, type GeneralName } from './general-name.js'
import { oid } from './oids.js'

/** Bits of the keyUsage extension, as {@link CertificateExtensions.keyUsage} holds them. */
export const keyUsageBit = {
  digitalSignature: 1 << 0,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
} as const

/** RFC 5280 §4.2.1.1. */
export interface AuthorityKeyId {
  readonly keyId: Uint8Array | undefined
  /** The certificate of the issuer by its own issuer's name and its serial number, both or neither. */
  readonly issuerName: Uint8Array | undefined
  readonly serialNumber: string | undefined
}

export interface CertificateExtensions {
  readonly isCa: boolean
  readonly hasBasicConstraints: boolean
  readonly pathLen: number | undefined
  /** See {@link keyUsageBit}; `undefined` when the extension is absent. */
  readonly keyUsage: number | undefined
  /** OIDs; `undefined` when the extension is absent. */
  readonly extKeyUsage: readonly string[] | undefined
  readonly subjectAltNames: readonly GeneralName[]
  readonly nameConstraints: NameConstraints | undefined
  readonly subjectKeyId: Uint8Array | undefined
  readonly authorityKeyId: AuthorityKeyId | undefined
  /** Every extension that is marked critical. */
  readonly critical: readonly string[]
  /** Critical extensions that nothing here understands: whoever judges the certificate has to refuse it. */
  readonly criticalUnknown: readonly string[]
}

const maxExtensions = 64
const maxNames = 4096

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Of a certificate that carries none. */
export const noExtensions: CertificateExtensions = {
  isCa: false,
  hasBasicConstraints: false,
  pathLen: undefined,
  keyUsage: undefined,
  extKeyUsage: undefined,
  subjectAltNames: [],
  nameConstraints: undefined,
  subjectKeyId: undefined,
  authorityKeyId: undefined,
  critical: [],
  criticalUnknown: [],
}

/** Reads `Extensions` of RFC 5280 §4.1. An extension that occurs twice is refused, known or not. */
export function readExtensions(list: DerReader): CertificateExtensions {
  const found: Mutable<CertificateExtensions> & { critical: string[]; criticalUnknown: string[] } = {
    ...noExtensions,
    critical: [],
    criticalUnknown: [],
  }
  if (list.atEnd()) throw derFault('extensions: an empty list')
  const seen: string[] = []
  while (!list.atEnd()) {
    const extension = list.enter(derTag.sequence, 'extension')
    const id = extension.oid('extension')
    if (seen.includes(id)) throw derFault(`the extension ${id} occurs twice`)
    if (seen.push(id) > maxExtensions) throw derFault(`more than ${maxExtensions} extensions`)
    const critical = extension.peek() === derTag.boolean && extension.boolean(`extension ${id}`)
    const value = new DerReader(extension.contents(derTag.octetString, `extension ${id}`))
    extension.finish(`extension ${id}`)
    if (critical) found.critical.push(id)
    switch (id) {
      case oid.basicConstraints:
        readBasicConstraints(value, found)
        break
      case oid.keyUsage:
        found.keyUsage = value.namedBits('keyUsage')
        // RFC 5280 §4.2.1.3: at least one bit is set.
        if (found.keyUsage === 0) throw derFault('keyUsage: no bit is set')
        break
      case oid.extKeyUsage:
        found.extKeyUsage = readOids(value.enter(derTag.sequence, 'extKeyUsage'))
        break
      case oid.subjectAltName:
        found.subjectAltNames = readGeneralNames(value.enter(derTag.sequence, 'subjectAltName'))
        break
      case oid.nameConstraints:
        found.nameConstraints = readNameConstraints(value.enter(derTag.sequence, 'nameConstraints'))
        break
      case oid.subjectKeyIdentifier:
        found.subjectKeyId = value.contents(derTag.octetString, 'subjectKeyIdentifier')
        break
      case oid.authorityKeyIdentifier:
        found.authorityKeyId = readAuthorityKeyId(value.enter(derTag.sequence, 'authorityKeyIdentifier'))
        break
      default:
        if (critical) found.criticalUnknown.push(id)
        continue
    }
    value.finish(`extension ${id}`)
  }
  return found
}

function readBasicConstraints(value: DerReader, found: Mutable<CertificateExtensions>): void {
  const reader = value.enter(derTag.sequence, 'basicConstraints')
  found.hasBasicConstraints = true
  // An explicit FALSE is not quite DER, and common enough in certificates of older tools to be read all the same.
  found.isCa = reader.peek() === derTag.boolean && reader.boolean('basicConstraints')
  if (!reader.atEnd()) {
    found.pathLen = reader.smallInteger('pathLenConstraint')
    if (!found.isCa) throw derFault('pathLenConstraint: only a CA has one')
  }
  reader.finish('basicConstraints')
}

function readOids(list: DerReader): string[] {
  const oids: string[] = []
  while (!list.atEnd()) {
    if (oids.push(list.oid('extKeyUsage')) > maxNames) throw derFault('extKeyUsage: too many purposes')
  }
  if (oids.length === 0) throw derFault('extKeyUsage: an empty list')
  return oids
}

function readGeneralNames(list: DerReader): GeneralName[] {
  const names: GeneralName[] = []
  while (!list.atEnd()) {
    if (names.push(readGeneralName(list, 'subjectAltName')) > maxNames) throw derFault('subjectAltName: too many names')
  }
  if (names.length === 0) throw derFault('subjectAltName: an empty list')
  return names
}

function readAuthorityKeyId(reader: DerReader): AuthorityKeyId {
  const keyId = reader.peek() === 0x80 ? reader.contents(0x80, 'authorityKeyIdentifier') : undefined
  const names = reader.peek() === 0xa1 ? readGeneralNames(reader.enter(0xa1, 'authorityCertIssuer')) : undefined
  const serialNumber = reader.peek() === 0x82 ? toHex(reader.integer('authorityCertSerialNumber', 0x82)) : undefined
  reader.finish('authorityKeyIdentifier')
  if ((names === undefined) !== (serialNumber === undefined)) {
    throw derFault('authorityKeyIdentifier: issuer and serial number come together')
  }
  return { keyId, issuerName: names?.find(({ type }) => type === 'directoryName')?.value, serialNumber }
}

/** Lower-case hex of a non-negative INTEGER's contents, without the octet that only holds the sign. */
export function toHex(integer: Uint8Array): string {
  if ((integer[0] ?? 0) & 0x80) throw derFault('a serial number is not negative')
  const sign = integer.length > 1 && integer[0] === 0 ? 1 : 0
  return Buffer.from(integer.buffer, integer.byteOffset + sign, integer.length - sign).toString('hex')
}
