export interface VectorGroup {
  about: string
  /** First and last number. */
  ranges: readonly (readonly [number, number])[]
}

/** The vectors that tests of this folder carry in their names, so that none of them vanishes unnoticed. */
export const vectorGroups: Readonly<Record<string, VectorGroup>> = {
  A: {
    about: 'SPIFFE ID strings; from 101 builders and matchers',
    ranges: [
      [1, 89],
      [101, 116],
    ],
  },
  B: { about: 'trust domain strings', ranges: [[1, 20]] },
  C: { about: 'endpoint addresses', ranges: [[1, 59]] },
  D: { about: 'JWT-SVID headers', ranges: [[1, 40]] },
  E: { about: 'JWT-SVID claims and serialisation', ranges: [[1, 49]] },
  F: {
    about: 'X509-SVIDs; from 101 chains, from 202 TLS peers',
    ranges: [
      [1, 55],
      [101, 124],
      [202, 209],
    ],
  },
  G: {
    about: 'SPIFFE bundle documents; from 101 JWT bundles of the Workload API, from 202 bundle maps',
    ranges: [
      [1, 62],
      [101, 107],
      [202, 209],
    ],
  },
  H: { about: 'Workload API messages and status codes', ranges: [[1, 49]] },
}

/** Vectors without a test, each with its reason. */
export const vectorsWithoutTest: Readonly<Record<string, string>> = {
  'H-022':
    'UNIMPLEMENTED on a stream of WIT-SVIDs: the client does not ask for them. The agent answers so: row WAPI-47.',
  'H-049': 'A WIT private key that is not that of its SVID: neither client nor agent offers WIT-SVIDs.',
}

/** Every vector, `A-001` and so on. Multiples of three were never given out as numbers. */
export function vectorIds(): string[] {
  return Object.entries(vectorGroups).flatMap(([group, { ranges }]) =>
    ranges.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, index) => first + index)
        .filter((number) => number % 3 !== 0)
        .map((number) => `${group}-${String(number).padStart(3, '0')}`),
    ),
  )
}

/** The vectors that texts of test files name outside of comments: in the name of a test, or in a table of tests. */
export function vectorsNamedIn(texts: Iterable<string>): Set<string> {
  const named = new Set<string>()
  for (const text of texts) {
    const code = text.replace(/^\s*\/?\*.*$|(^|\s)\/\/\s.*$/gm, '')
    for (const [id] of code.matchAll(/\b[A-H]-\d{3}\b/g)) named.add(id)
  }
  return named
}
