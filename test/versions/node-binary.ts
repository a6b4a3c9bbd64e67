import { execFile } from 'node:child_process'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'authsec-sdk/node')

/** The newest release of a Node.js major, from the npm package that carries its binary; kept for the next run. */
export async function nodeBinary(major: number): Promise<string> {
  const home = join(cache, `${major}`)
  const binary = join(home, `node_modules/node-${process.platform}-${process.arch}/bin/node`)
  if (await stat(binary).catch(() => undefined)) return binary
  const fresh = `${home}.${process.pid}`
  await mkdir(fresh, { recursive: true })
  const name = `node-${process.platform}-${process.arch}@${major}`
  await run('npm', ['install', '--no-audit', '--no-fund', '--no-save', '--prefix', fresh, name], { cwd: tmpdir() })
  await rm(home, { recursive: true, force: true })
  await rename(fresh, home)
  return binary
}
