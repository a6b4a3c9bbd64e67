import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { root } from '../package/installed.js'

const run = promisify(execFile)

test('an install from git builds itself and loads', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'from-git-'))
  try {
    await writeFile(join(directory, 'package.json'), '{ "private": true, "type": "module" }')
    const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', '--allow-git=all']
    await run('npm', ['install', ...flags, `git+file://${root}`], { cwd: directory, timeout: 400_000 })
    const script = `const { QuickStartSVID } = await import('authsec-sdk'); console.log(typeof QuickStartSVID.initialize)`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: directory })
    expect(stdout).toBe('function\n')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}, 420_000)
