import { expect, test } from 'vitest'
import { missing } from './row.js'

test('a row without an accepting or without a refusing input is found', () => {
  const inputs = new Map([
    ['A-1', { accepted: 1, refused: 2 }],
    ['A-2', { accepted: 0, refused: 1 }],
    ['A-3', { accepted: 1, refused: 0 }],
    ['A-4', { accepted: 0, refused: 0 }],
  ])
  expect(missing(inputs)).toEqual(['A-2', 'A-3', 'A-4'])
})
