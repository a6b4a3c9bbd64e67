import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, readdir, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

const pattern = /^spiffe-svid-([0-9a-f]{8})-([1-9][0-9]{0,9})-[0-9a-f]{24}$/

/** A directory name that nobody can foresee, and that tells whose process it belongs to. */
export function newTemporaryDirectory(): string {
  return join(tmpdir(), `spiffe-svid-${processScope()}-${process.pid}-${randomBytes(12).toString('hex')}`)
}

/**
 * Removes the directories that processes of this user left when they were killed: keys of the dead have no business on
 * the disk. What cannot be judged stays: another user's, another container's, and where a process of that number lives.
 */
export async function removeLeftBehind(): Promise<void> {
  const scope = processScope()
  for (const entry of await readdir(tmpdir())) {
    const [, theirs, pid] = pattern.exec(entry) ?? []
    if (theirs !== scope || isAlive(Number(pid))) continue
    const path = join(tmpdir(), entry)
    const stats = await lstat(path)
    if (stats.isDirectory() && stats.uid === process.geteuid?.()) await rm(path, { recursive: true, force: true })
  }
}

let scope: string | undefined

/** Where process numbers mean the same: this boot of this machine, and on Linux this PID namespace. */
function processScope(): string {
  scope ??= createHash('sha256').update(`${bootId()} ${pidNamespace()}`).digest('hex').slice(0, 8)
  return scope
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return hostname()
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
