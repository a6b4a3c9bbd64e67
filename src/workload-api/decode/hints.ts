const longestHint = 1024

/** An entry that is used, with its place in the message (1 is the first) and the hint that counts. */
export interface Selected<T> {
  readonly entry: T
  readonly place: number
  readonly hint: string
}

/**
 * Workload API §8: of several entries with one hint the first counts; entries without a hint never clash. A hint longer
 * than the standard supports counts as none.
 */
export function selectByHint<T extends { readonly hint: string }>(
  all: readonly T[],
): { selected: Selected<T>[]; warnings: string[] } {
  const warnings: string[] = []
  const seen = new Set<string>()
  const selected = all.flatMap((entry, index) => {
    const place = index + 1
    if (Buffer.byteLength(entry.hint) > longestHint) {
      warnings.push(`the hint of SVID ${place} is longer than ${longestHint} bytes and counts as none`)
      return [{ entry, place, hint: '' }]
    }
    if (entry.hint !== '' && seen.has(entry.hint)) {
      warnings.push(`SVID ${place} has the hint of an earlier one and is not used`)
      return []
    }
    seen.add(entry.hint)
    return [{ entry, place, hint: entry.hint }]
  })
  return { selected, warnings }
}
