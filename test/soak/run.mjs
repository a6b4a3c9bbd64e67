// Runs a process for a long time and judges what it keeps:  npm run soak -- [NAME] [--seconds S] [--seed N] [--out FILE]
// Without a name the one of TLS. One JSON document on standard output, or with every sample in FILE; progress and
// violations on standard error; exit code 1 on a violation.
import { readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' }, out: { type: 'string' } },
})
const available = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
const [name = 'tls', ...more] = positionals
if (more.length > 0 || !available.includes(name)) {
  throw new Error(`expected the name of one soak; there are: ${available.join(', ')}`)
}
const seconds = Number(values.seconds)
const seed = Number(values.seed ?? Date.now() % 0x7fff_ffff)
if (!(seconds >= 20) || !Number.isSafeInteger(seed)) throw new Error('expected 20 seconds or more, and a whole seed')

const { version } = createRequire(import.meta.url)('../../package.json')
const { soak } = await import(`./${name}/soak.mjs`)
const log = (line) => process.stderr.write(`${line}\n`)
log(`soak ${name}: ${seconds} s, seed ${seed}`)
const { violations, samples, ...result } = await soak({ seconds, seed, log })
const report = {
  command: `npm run soak -- ${name} --seconds ${seconds} --seed ${seed}`,
  date: new Date().toISOString(),
  versions: { 'authsec-sdk': version, node: process.versions.node, openssl: process.versions.openssl },
  machine: `${process.platform}-${process.arch}, ${cpus().length} × ${cpus()[0]?.model}`,
  passed: violations.length === 0,
  violations,
  ...result,
}
const json = (document) => `${JSON.stringify(document, undefined, 2)}\n`
if (values.out === undefined) process.stdout.write(json(report))
else writeFileSync(values.out, json({ ...report, samples }))
for (const violation of violations) log(`✗ ${violation}`)
process.exitCode = violations.length === 0 ? 0 : 1
