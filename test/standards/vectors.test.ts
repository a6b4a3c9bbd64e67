import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { vectorIds, vectorsNamedIn, vectorsWithoutTest } from './vectors.js'

const files = (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.ts') && !/^vectors\./.test(name))
const named = vectorsNamedIn(await Promise.all(files.map((name) => readFile(join(import.meta.dirname, name), 'utf8'))))

test('every vector is named by a test, or the list says why not', () => {
  const expected = vectorIds().filter((id) => !(id in vectorsWithoutTest))
  expect(expected.filter((id) => !named.has(id))).toEqual([])
})

test('no test names a vector that is not in the list, or that the list calls untested', () => {
  const listed = new Set(vectorIds())
  expect([...named].filter((id) => !listed.has(id) || id in vectorsWithoutTest)).toEqual([])
  expect(Object.keys(vectorsWithoutTest).filter((id) => !listed.has(id))).toEqual([])
})

test('the list has 330 vectors, each once', () => {
  const ids = vectorIds()
  expect([ids.length, new Set(ids).size]).toEqual([330, 330])
  expect([ids[0], ids[1], ids[2], ids.at(-1)]).toEqual(['A-001', 'A-002', 'A-004', 'H-049'])
})

test('a comment names no vector; a table and the name of a test do', () => {
  const text = "// A-001\n/** B-001\n * C-001\n */\ntest('D-001 E-002', …)\n  ['F-004', '//td/w'], // as G-001"
  expect([...vectorsNamedIn([text])]).toEqual(['D-001', 'E-002', 'F-004'])
})
