import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundleSection } from './bundle-rows.js'
import { jwtSvidSection } from './jwt-svid-rows.js'
import type { Row, Section } from './row.js'
import { spiffeIdSection } from './spiffe-id-rows.js'
import { workloadApiSection, workloadEndpointSection } from './workload-api-rows.js'
import { x509SvidSection } from './x509-svid-rows.js'

/** Every section that has tests; `docs/conformance.md` shows them in this order. */
const sections: readonly Section[] = [
  spiffeIdSection,
  x509SvidSection,
  jwtSvidSection,
  bundleSection,
  workloadEndpointSection,
  workloadApiSection,
]

function renderSection({ title, document, rows }: Section): string[] {
  const cells = ({ id, level, clause, does, choice }: Row) =>
    `| ${id} | ${level} | ${clause} | ${does}${choice === undefined ? '' : ` **Our choice:** ${choice}`} |`
  return [
    `## ${title}`,
    '',
    `[The document](${document})`,
    '',
    '| row | level | section | what we do |',
    '|---|---|---|---|',
    ...rows.map(cells),
    '',
  ]
}

test('docs/conformance.md is the list of rows (write it anew with: npm run docs)', async () => {
  const text = [
    '# Conformance',
    '',
    'What the SPIFFE standards ask of a library that consumes and validates identities, and what this one does. Each row',
    'has tests in `test/standards` that carry its name: at least one input that is accepted and one that is refused. A row',
    'without both fails the run. "stated" is what a document says as a fact; "RFC" comes in from a document it refers to.',
    '',
    ...sections.flatMap(renderSection),
  ].join('\n')
  await expect(text).toMatchFileSnapshot(join(import.meta.dirname, '../../docs/conformance.md'))
})

test('no row occurs twice, and every row says something', () => {
  const rows = sections.flatMap(({ rows: list }) => list)
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length)
  expect(rows.filter(({ does, clause }) => does.length < 10 || clause === '')).toEqual([])
})
