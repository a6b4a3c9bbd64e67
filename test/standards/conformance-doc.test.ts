import { readdir, readFile } from 'node:fs/promises'
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

function renderSection({ title, document, rows, elsewhere = [] }: Section): string[] {
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
    ...elsewhere.flatMap(({ ids, why }) => [`Not in this table: ${ids.join(', ')}. ${why}`, '']),
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

// The last row of each kind. The profile of WIT-SVIDs is incubating; the Broker API is none of this library.
for (const [kind, last] of [
  ['ID', 29],
  ['X509', 42],
  ['JWT', 28],
  ['BUNDLE', 31],
  ['WEP', 30],
  ['WAPI', 57],
] as const) {
  test(`no row of ${kind} is missing without a word`, () => {
    const named = sections.flatMap(({ rows, elsewhere = [] }) => [
      ...rows.map(({ id }) => id),
      ...elsewhere.flatMap(({ ids }) => ids),
    ])
    const all = Array.from({ length: last }, (_, at) => `${kind}-${String(at + 1).padStart(2, '0')}`)
    expect(named.filter((id) => id.startsWith(`${kind}-`)).sort()).toEqual(all)
  })
}

test('a row that is met elsewhere is named by a test there', async () => {
  for (const { ids, tests } of sections.flatMap(({ elsewhere = [] }) => elsewhere)) {
    if (tests === undefined) continue
    const folder = join(import.meta.dirname, '../..', tests)
    const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.test.ts'))
    const text = (await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))).join('\n')
    expect(ids.filter((id) => !text.includes(id))).toEqual([])
  }
})
