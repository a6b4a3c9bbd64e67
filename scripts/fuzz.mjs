// Runs the fuzzers: npm run fuzz -- [differential|mutation|all] [--cases N] [--seed S] [--out FILE]
// Prints JSON at its end, or writes it to FILE, and exits non-zero when something was found. Progress goes to standard
// error. The sources are bundled first, so that Node.js 20 runs them at full speed.
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string' },
  },
})
const [which = 'all'] = positionals
const [cases, seed] = [Number(values.cases), Number(values.seed)]
if (!['differential', 'mutation', 'all'].includes(which) || positionals.length > 1) {
  throw new Error(`expected differential, mutation or all; found ${positionals.join(' ')}`)
}
if (!Number.isSafeInteger(cases) || cases < 1) throw new Error(`--cases is a whole number from 1, not ${values.cases}`)
if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`--seed is a whole number from 0, not ${values.seed}`)

const log = (line) => process.stderr.write(`${line}\n`)
const tenth = Math.ceil(cases / 10)
let told = 0
/** Ten lines, however long it takes. */
function onProgress(done) {
  if (done < told + tenth) return
  told = done - (done % tenth)
  log(`fuzz: ${done} of ${cases} cases compared`)
}

const directory = await mkdtemp(join(tmpdir(), 'fuzz-build-'))
try {
  const outfile = join(directory, 'fuzz.mjs')
  const entry = join(import.meta.dirname, '../test/fuzz/index.ts')
  await build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm', target: 'node20' })
  const { opensslNeeded, opensslVersion, runFuzz } = await import(pathToFileURL(outfile).href)
  const openssl = which === 'mutation' ? undefined : opensslVersion()
  if (which !== 'mutation' && openssl === undefined) {
    log(`The comparison with OpenSSL needs ${opensslNeeded}.\nWithout it: npm run fuzz -- mutation`)
    process.exitCode = 2
  } else {
    const { version } = createRequire(import.meta.url)('../package.json')
    const { found, ...result } = await runFuzz({ which, cases, seed, onProgress })
    const report = {
      command: `npm run fuzz -- ${which === 'all' ? '' : `${which} `}--cases ${cases} --seed ${seed}`,
      date: new Date().toISOString(),
      versions: { 'authsec-sdk': version, node: process.versions.node, openssl },
      machine: `${process.platform}-${process.arch}, ${cpus().length} × ${cpus()[0]?.model}`,
      passed: found === 0,
      found,
      ...result,
    }
    const json = `${JSON.stringify(report, undefined, 2)}\n`
    if (values.out === undefined) process.stdout.write(json)
    else writeFileSync(values.out, json)
    process.exitCode = found === 0 ? 0 : 1
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}
