import { derFault, type DerReader, derTag } from './der-reader.js'
import { readGeneralName, type GeneralName } from './general-name.js'

/** RFC 5280 §4.2.1.10. Each list may be empty, never both. */
export interface NameConstraints {
  readonly permitted: readonly GeneralSubtree[]
  readonly excluded: readonly GeneralSubtree[]
}

export interface GeneralSubtree {
  readonly base: GeneralName
  /** A minimum or maximum is given, which RFC 5280 has no use for. */
  readonly hasBounds: boolean
}

const maxSubtrees = 4096

export function readNameConstraints(reader: DerReader): NameConstraints {
  const permitted = reader.peek() === 0xa0 ? readSubtrees(reader.enter(0xa0, 'permittedSubtrees')) : []
  const excluded = reader.peek() === 0xa1 ? readSubtrees(reader.enter(0xa1, 'excludedSubtrees')) : []
  reader.finish('nameConstraints')
  if (permitted.length + excluded.length === 0) throw derFault('nameConstraints: an empty extension')
  return { permitted, excluded }
}

function readSubtrees(list: DerReader): GeneralSubtree[] {
  const subtrees: GeneralSubtree[] = []
  while (!list.atEnd()) {
    const reader = list.enter(derTag.sequence, 'subtree')
    const base = readGeneralName(reader, 'subtree')
    let hasBounds = false
    if (reader.peek() === 0x80) hasBounds = reader.smallInteger('minimum', 0x80) > 0
    if (reader.peek() === 0x81) hasBounds = reader.smallInteger('maximum', 0x81) >= 0
    reader.finish('subtree')
    if (subtrees.push({ base, hasBounds }) > maxSubtrees) throw derFault('nameConstraints: too many subtrees')
  }
  if (subtrees.length === 0) throw derFault('nameConstraints: an empty list')
  return subtrees
}
