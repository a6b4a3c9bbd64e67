import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { root } from '../package/installed.js'
import { nodeBinary } from './node-binary.js'

const run = promisify(execFile)
/** Fewer would mean that something was left out; the tests of other folders are no replacement. */
const fewestTests = 1000

interface Report {
  numPassedTests: number
  testResults: { name: string; message: string; assertionResults: { fullName: string; failureMessages?: string[] }[] }[]
}

/** What failed, by name and reason: the JSON reporter prints nothing. */
function failuresIn({ testResults }: Report): string[] {
  return testResults.flatMap(({ name, message, assertionResults }) => [
    ...(message === '' ? [] : [`${name}: ${message}`]),
    ...assertionResults.flatMap(({ fullName, failureMessages = [] }) =>
      failureMessages.map((reason) => `${fullName}: ${reason}`),
    ),
  ])
}

for (const major of [20, 22, 24, 26])
  describe(`attacks on Node.js ${major}`, () => {
    test('fail, every one of them, and what is built on TLS works', async () => {
      const node = await nodeBinary(major)
      const directory = await mkdtemp(join(tmpdir(), 'attacks-'))
      try {
        const report = join(directory, 'report.json')
        const vitest = join(root, 'node_modules/vitest/vitest.mjs')
        const options = ['--reporter=json', `--outputFile=${report}`, '--testTimeout=60000']
        const env = { ...process.env, REPORTS: '', VITEST: undefined, NODE_OPTIONS: undefined }
        const folders = ['test/attacks', 'test/tls', 'test/adapters']
        const ended = await run(node, [vitest, 'run', ...folders, ...options], {
          cwd: root,
          env,
          timeout: 400_000,
        }).catch((error: unknown) => error)
        const result = JSON.parse(await readFile(report, 'utf8')) as Report
        expect(failuresIn(result)).toEqual([])
        if (ended instanceof Error) throw ended
        expect(result).toMatchObject({ success: true, numFailedTests: 0, numPendingTests: 0 })
        expect(result.numPassedTests).toBeGreaterThan(fewestTests)
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    }, 420_000)
  })
