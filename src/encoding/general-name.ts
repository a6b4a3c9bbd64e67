import { derFault, type DerReader } from './der-reader.js'

const types = [
  'otherName',
  'email',
  'dns',
  'x400Address',
  'directoryName',
  'ediPartyName',
  'uri',
  'ip',
  'registeredId',
] as const

/** The nine forms of RFC 5280 §4.2.1.6. */
export type GeneralNameType = (typeof types)[number]

export interface GeneralName {
  readonly type: GeneralNameType
  /** What the tag encloses: ASCII octets for `uri`, `dns` and `email`, the DER name for `directoryName`. */
  readonly value: Uint8Array
}

// otherName, x400Address, directoryName and ediPartyName are constructed, the rest primitive.
const constructed = new Set([0, 3, 4, 5])

export function readGeneralName(reader: DerReader, what: string): GeneralName {
  const { tag, contents } = reader.any(what)
  const number = tag & 0x1f
  const type = types[number]
  if ((tag & 0xc0) !== 0x80 || type === undefined || ((tag & 0x20) !== 0) !== constructed.has(number)) {
    throw derFault(`${what}: not a GeneralName`)
  }
  if (type === 'uri' || type === 'dns' || type === 'email') {
    for (const octet of contents) if (octet > 0x7f) throw derFault(`${what}: an IA5String is ASCII`)
  }
  return { type, value: contents }
}
