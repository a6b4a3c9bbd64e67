import { afterAll, describe, expect, test } from 'vitest'

/** One requirement of a standard, in our own words: what this library does about it. */
export interface Row {
  id: string
  /** `stated`: said as a fact. `RFC`: comes in from another document. */
  level: 'MUST' | 'SHOULD' | 'MAY' | 'stated' | 'RFC'
  /** Section of the document. */
  clause: string
  does: string
  /** Where the text is silent or disagrees with itself: what we chose, and why. */
  choice?: string
}

export interface Section {
  title: string
  document: string
  rows: readonly Row[]
  /** Rows that bind somebody else, so that no number is missing without a word. */
  elsewhere?: readonly RowsElsewhere[]
}

export interface RowsElsewhere {
  ids: readonly string[]
  /** Whom they bind, and where that is. */
  why: string
  /** Folder with tests that name each of them. */
  tests?: string
}

interface Inputs {
  accepted: number
  refused: number
}

/** Tests of one row. Each call is one test, named so that the line reads as a sentence. */
export interface RowTests {
  /** An input that has to be taken; `run` throws, rejects or asserts when it is not. */
  accepts(input: string, run: () => unknown): RowTests
  /** An input that has to be refused with this error code. */
  refuses(input: string, code: string, run: () => unknown): RowTests
  /** An input for which the answer has to be no: `false` or `undefined`. */
  denies(input: string, run: () => unknown): RowTests
}

/**
 * Opens the tests of a section. A row of the list that ends up without an accepting and a refusing input fails the run;
 * so does a test for a row that is not in the list.
 */
export function testSection({ title, rows }: Section, write: (row: (id: string) => RowTests) => void): void {
  const inputs = new Map<string, Inputs>(rows.map(({ id }) => [id, { accepted: 0, refused: 0 }]))
  describe(title, () => {
    write((id) => {
      const seen = inputs.get(id)
      if (!seen) throw new Error(`${id} is not in the list of ${title}`)
      const tests: RowTests = {
        accepts(input, run) {
          test(`${id} accepts ${input}`, async () => {
            await run()
            seen.accepted++
          })
          return tests
        },
        refuses(input, code, run) {
          test(`${id} refuses ${input}`, async () => {
            // After a promise, what is thrown and what is rejected with look the same.
            await expect(Promise.resolve().then(run)).rejects.toEqual(expect.objectContaining({ code }))
            seen.refused++
          })
          return tests
        },
        denies(input, run) {
          test(`${id} refuses ${input}`, async () => {
            expect((await run()) ?? false).toBe(false)
            seen.refused++
          })
          return tests
        },
      }
      return tests
    })
    test('every row of the list has been shown an input to accept and one to refuse', () => {
      expect(missing(inputs)).toEqual([])
    })
    afterAll(() => inputs.clear())
  })
}

export function missing(inputs: ReadonlyMap<string, Inputs>): string[] {
  return [...inputs].filter(([, { accepted, refused }]) => accepted === 0 || refused === 0).map(([id]) => id)
}
