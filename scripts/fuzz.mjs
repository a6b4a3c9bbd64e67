// Runs the fuzzers: node scripts/fuzz.mjs [differential|mutation|all] --cases N --seed S. Prints JSON at its end and
// exits non-zero when something was found. The sources are bundled first, so that Node.js 20 runs them at full speed.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { cases: { type: 'string', default: '20000' }, seed: { type: 'string', default: '1' } },
})
const [which = 'all'] = positionals
const directory = await mkdtemp(join(tmpdir(), 'fuzz-build-'))
try {
  const outfile = join(directory, 'fuzz.mjs')
  const entry = join(import.meta.dirname, '../test/fuzz/index.ts')
  await build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm', target: 'node20' })
  const { runFuzz } = await import(pathToFileURL(outfile).href)
  const report = await runFuzz({ which, cases: Number(values.cases), seed: Number(values.seed) })
  console.log(JSON.stringify(report, undefined, 2))
  process.exitCode = report.found === 0 ? 0 : 1
} finally {
  await rm(directory, { recursive: true, force: true })
}
