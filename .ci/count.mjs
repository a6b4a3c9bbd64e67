// Adds the test reports up, names what failed and prints the closing line; exits non-zero when anything failed.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [directory, ...failedSteps] = process.argv.slice(2)
let passed = 0
let failed = 0
const named = []
for (const file of readdirSync(directory)) {
  const report = JSON.parse(readFileSync(join(directory, file), 'utf8'))
  passed += report.numPassedTests
  failed += report.numFailedTests
  for (const { name, message, assertionResults } of report.testResults) {
    const tests = assertionResults.filter(({ status }) => status === 'failed')
    for (const { fullName, failureMessages } of tests)
      named.push(`${name}: ${fullName}`, brief(failureMessages.join('\n')))
    if (tests.length === 0 && message) named.push(name, brief(message))
  }
}
// A step that died before it could write a report, or without a failed test, counts as a failure of its own.
if (failedSteps.length > 0 && failed === 0) failed = failedSteps.length
for (const step of failedSteps) console.log(`== FAILED: ${step}`)
for (const line of named) console.log(line)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

function brief(message) {
  return message
    .split('\n')
    .slice(0, 12)
    .map((line) => `    ${line}`)
    .join('\n')
}
