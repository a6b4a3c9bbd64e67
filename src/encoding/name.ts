import { DerReader, derFault, derTag } from './der-reader.js'

const maxAttributes = 256

/** One attribute of a Name: a common name, an organisation. */
export interface NameAttribute {
  readonly id: string
  /** Octets of the value, in whatever string type it has. */
  readonly value: Uint8Array
}

/** Refuses what is not a Name (RFC 5280 §4.1.2.4) without building anything. */
export function checkName(name: Uint8Array, what: string): void {
  const reader = new DerReader(name).enter(derTag.sequence, what)
  let count = 0
  while (!reader.atEnd()) {
    const set = reader.enter(derTag.set, what)
    do {
      const attribute = set.enter(derTag.sequence, what)
      attribute.oid(what)
      attribute.any(what)
      attribute.finish(what)
      if (++count > maxAttributes) throw derFault(`${what}: more than ${maxAttributes} attributes`)
    } while (!set.atEnd())
  }
}

/** The attributes of a Name that {@link checkName} has seen, in order. */
export function nameAttributes(name: Uint8Array): NameAttribute[] {
  const attributes: NameAttribute[] = []
  const reader = new DerReader(name).enter(derTag.sequence, 'name')
  while (!reader.atEnd()) {
    const set = reader.enter(derTag.set, 'name')
    while (!set.atEnd()) {
      const attribute = set.enter(derTag.sequence, 'name')
      attributes.push({ id: attribute.oid('name'), value: attribute.any('name').contents })
    }
  }
  return attributes
}
