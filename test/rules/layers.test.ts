import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findLayerFaults, renderRooms } from './layers.js'

const root = join(import.meta.dirname, '../..')
const src = join(root, 'src')

function sources(): Map<string, string> {
  const files = new Map<string, string>()
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.[cm]?[jt]sx?$/.test(entry.name) || entry.name.endsWith('.d.ts')) continue
    const path = join(entry.parentPath, entry.name)
    const name = relative(src, path).split(sep).join('/')
    if (name.includes('/generated/')) continue
    files.set(name, readFileSync(path, 'utf8'))
  }
  return files
}

test('every import of src follows the table', () => {
  const files = sources()
  expect(files.size).toBeGreaterThan(5)
  expect(findLayerFaults(files)).toEqual([])
})

test('docs/architecture.md shows the table as it is (write it anew with: npm run docs)', async () => {
  const path = join(root, 'docs/architecture.md')
  const text = readFileSync(path, 'utf8')
  const shown = text.replace(/(?<=<!-- rooms -->)[^]*(?=<!-- \/rooms -->)/, () => `\n\n${renderRooms()}\n\n`)
  expect(shown).toContain(renderRooms())
  await expect(shown).toMatchFileSnapshot(path)
})

describe('the rule itself', () => {
  for (const [reason, file, text] of [
    ['an import goes up', 'svid/x.ts', "import { X509Source } from '../source/index.js'"],
    ['a type import goes up', 'svid/x.ts', "import type { X509Source } from '../source/index.js'"],
    ['a re-export goes up', 'svid/x.ts', "export { X509Source } from '../source/index.js'"],
    ['an import() goes up', 'svid/x.ts', "const lazy = () => import('../source/index.js')"],
    ['a room is entered past its index.ts', 'svid/x.ts', "import { Der } from '../encoding/der.js'"],
    ['a folder is not in the table', 'helpers/x.ts', 'export {}'],
    ['a file lies beside the rooms', 'x.ts', 'export {}'],
    ['tls imports source', 'tls/x.ts', "import { X509Source } from '../source/index.js'"],
    ['adapters import each other', 'adapters/express/x.ts', "import { guard } from '../https/index.js'"],
    ['the root imports dev', 'index.ts', "export { DevAgent } from './dev/agent/index.js'"],
    ['the root imports an adapter of a foreign package', 'index.ts', "export { a } from './adapters/undici/index.js'"],
    ['svid knows gRPC', 'svid/x.ts', "import { Client } from '@grpc/grpc-js'"],
    ['a pure room does I/O', 'svid/x.ts', "import { readFileSync } from 'node:fs'"],
    ['an import leads out of src', 'svid/x.ts', "import { mint } from '../../test/mint.js'"],
  ] as const)
    test(`refuses when ${reason}`, () => expect(findLayerFaults(new Map([[file, text]]))).toHaveLength(1))

  test('lets an import go down through index.ts', () => {
    const text =
      "import { Der } from '../encoding/index.js'\nimport { verify } from './verify.js'\nimport 'node:crypto'"
    expect(findLayerFaults(new Map([['svid/x.ts', text]]))).toEqual([])
  })
})
