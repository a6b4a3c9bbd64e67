// Runs benchmarks against the built package:  npm run bench -- NAME… [--rounds N] [--json] [--out FILE]
// Tables for people, or with --json one document with every number; --out writes that document to FILE beside them.
import { readdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { report } from './statistics.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    out: { type: 'string' },
    rounds: { type: 'string', default: '15' },
  },
})
const available = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
const names = positionals.length > 0 ? positionals : available
const rounds = Number(values.rounds)

const results = []
for (const name of names) {
  if (!available.includes(name)) throw new Error(`no benchmark "${name}"; there are: ${available.join(', ')}`)
  const { run } = await import(`./${name}/bench.mjs`)
  // A benchmark may consist of several, each with a name of its own.
  for (const part of [await run({ rounds })].flat()) {
    const result = { name, rounds, ...part }
    results.push(result)
    if (!values.json) console.log(report(result))
  }
}
const machine = { node: process.version, platform: `${process.platform}-${process.arch}`, cpu: cpus()[0]?.model }
const document = JSON.stringify({ date: new Date().toISOString(), machine, results }, undefined, 2)
if (values.out !== undefined) writeFileSync(values.out, `${document}\n`)
if (values.json) console.log(document)
else console.log(`Node ${machine.node}, ${machine.platform}, ${cpus().length} × ${machine.cpu}`)
