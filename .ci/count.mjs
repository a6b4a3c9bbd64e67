// Adds the test reports up and prints the closing line; exits non-zero when anything failed.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [directory, status] = process.argv.slice(2)
let passed = 0
let failed = 0
for (const file of readdirSync(directory)) {
  const report = JSON.parse(readFileSync(join(directory, file), 'utf8'))
  passed += report.numPassedTests
  failed += report.numFailedTests
}
if (status !== '0' && failed === 0) failed = 1
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
