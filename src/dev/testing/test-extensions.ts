import { der, derBoolean, derInteger, derNamedBits, derOctets, derOid, derSequence } from './der-writer.js'

const keyUsageBits = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const

export type TestKeyUsage = keyof typeof keyUsageBits

const purposes: Readonly<Record<string, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  any: '2.5.29.37.0',
}

/** Names by their form; `raw` is GeneralNames as they are written. */
export interface TestNames {
  uris?: readonly string[] | undefined
  dnsNames?: readonly string[] | undefined
  emails?: readonly string[] | undefined
  /** Octets: four or sixteen for an address, twice that for a constraint. */
  ips?: readonly Uint8Array[] | undefined
  /** Names, DER. */
  directoryNames?: readonly Uint8Array[] | undefined
  raw?: readonly Uint8Array[] | undefined
}

export interface TestExtension {
  id: string
  critical?: boolean | undefined
  value: Uint8Array
}

export interface TestExtensionOptions {
  /** URIs and other subject alternative names. */
  names?: TestNames | undefined
  namesCritical?: boolean | undefined
  /** `null` leaves the extension out. */
  basicConstraints?: { ca: boolean; pathLen?: number | undefined; critical?: boolean | undefined } | null | undefined
  /** `null` leaves the extension out. */
  keyUsage?: readonly TestKeyUsage[] | null | undefined
  /** Default true. */
  keyUsageCritical?: boolean | undefined
  /** Names such as `serverAuth` and `any`, or OIDs. `null` leaves the extension out. */
  extKeyUsage?: readonly string[] | null | undefined
  extKeyUsageCritical?: boolean | undefined
  nameConstraints?: { permitted?: TestNames; excluded?: TestNames; critical?: boolean } | undefined
  /** Default: made of the key. `null` leaves the extension out. */
  subjectKeyId?: Uint8Array | null | undefined
  /** Default: the issuer's. `null` leaves the extension out. */
  authorityKeyId?: Uint8Array | null | undefined
  /** More extensions, in their order at the end. */
  extensions?: readonly TestExtension[] | undefined
}

/** The `extensions` field of a certificate, or nothing when there are none. */
export function writeExtensions(options: TestExtensionOptions, keyId: Uint8Array, issuerKeyId: Uint8Array): Buffer[] {
  const { basicConstraints, keyUsage, extKeyUsage, names, nameConstraints } = options
  const { subjectKeyId = keyId, authorityKeyId = issuerKeyId } = options
  const list: TestExtension[] = []
  if (basicConstraints) {
    const { ca, pathLen, critical = true } = basicConstraints
    const parts = [...(ca ? [derBoolean(true)] : []), ...(pathLen === undefined ? [] : [derInteger(pathLen)])]
    list.push({ id: '2.5.29.19', critical, value: derSequence(...parts) })
  }
  if (keyUsage) {
    const value = derNamedBits(keyUsage.map((usage) => keyUsageBits[usage]))
    list.push({ id: '2.5.29.15', critical: options.keyUsageCritical ?? true, value })
  }
  if (extKeyUsage) {
    const value = derSequence(...extKeyUsage.map((purpose) => derOid(purposes[purpose] ?? purpose)))
    list.push({ id: '2.5.29.37', critical: options.extKeyUsageCritical, value })
  }
  if (names) {
    list.push({ id: '2.5.29.17', critical: options.namesCritical, value: derSequence(...writeNames(names)) })
  }
  if (nameConstraints) {
    const { permitted, excluded, critical = true } = nameConstraints
    const subtrees = (tag: number, bases?: TestNames) =>
      bases ? [der(tag, ...writeNames(bases).map((base) => derSequence(base)))] : []
    list.push({
      id: '2.5.29.30',
      critical,
      value: derSequence(...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded)),
    })
  }
  if (subjectKeyId) list.push({ id: '2.5.29.14', value: derOctets(subjectKeyId) })
  if (authorityKeyId) list.push({ id: '2.5.29.35', value: derSequence(der(0x80, authorityKeyId)) })
  list.push(...(options.extensions ?? []))
  return list.length === 0 ? [] : [der(0xa3, derSequence(...list.map(writeExtension)))]
}

export function writeExtension({ id, critical = false, value }: TestExtension): Buffer {
  return derSequence(derOid(id), ...(critical ? [derBoolean(true)] : []), derOctets(value))
}

function writeNames(names: TestNames): Buffer[] {
  const text = (tag: number, values: readonly string[] = []) =>
    values.map((value) => der(tag, Buffer.from(value, 'latin1')))
  return [
    ...(names.raw ?? []).map((raw) => Buffer.from(raw)),
    ...text(0x81, names.emails),
    ...text(0x82, names.dnsNames),
    ...(names.directoryNames ?? []).map((name) => der(0xa4, name)),
    ...text(0x86, names.uris),
    ...(names.ips ?? []).map((ip) => der(0x87, ip)),
  ]
}
