import type { Stats } from 'node:fs'
import { chmod, chown, lstat, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SpiffeError } from '../errors/index.js'

/** What a directory of ours is made with. */
export interface DirectoryAccess {
  readonly dirMode: number
  readonly gid: number | undefined
}

/**
 * Makes sure that `path` is a directory in which nobody but this user can put, replace or remove a file.
 * @returns Whether it was missing and has been created.
 * @throws SpiffeError `ERR_DIRECTORY_UNSAFE`; errors of the file system as they are.
 */
export async function ensurePrivateDirectory(path: string, access: DirectoryAccess): Promise<boolean> {
  const created = await makeDirectory(path, access)
  // lstat, never stat: a link could lead into a directory that only looks safe at this moment.
  const finding = findUnsafe(await lstat(path))
  if (finding === undefined) return created
  throw new SpiffeError(
    'ERR_DIRECTORY_UNSAFE',
    `expected a directory that only this user can write to, but ${path} ${finding}; ` +
      'name a directory that does not exist yet, and it is created with mode 0700',
  )
}

async function makeDirectory(path: string, access: DirectoryAccess): Promise<boolean> {
  if (await exists(path)) return false
  await mkdir(dirname(path), { recursive: true })
  try {
    await makePrivateDirectory(path, access)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Creates one directory that is private from its first moment and opened as far as `access` says. */
export async function makePrivateDirectory(path: string, { dirMode, gid }: DirectoryAccess): Promise<void> {
  await mkdir(path, { mode: 0o700 })
  if (gid !== undefined) await chown(path, -1, gid)
  // The umask may have taken bits away, and mkdir could not give more than 0700.
  if (dirMode !== 0o700) await chmod(path, dirMode)
}

function findUnsafe(stats: Stats): string | undefined {
  if (stats.isSymbolicLink()) return 'is a symbolic link'
  if (!stats.isDirectory()) return 'is not a directory'
  const user = process.geteuid?.()
  if (user === undefined) return undefined // Windows: no owner and mode to judge by
  if (stats.uid !== user) return `belongs to user ${stats.uid}, and this process runs as user ${user}`
  if ((stats.mode & 0o022) !== 0) {
    const who = (stats.mode & 0o002) !== 0 ? 'everyone' : 'its group'
    return `has mode 0${(stats.mode & 0o7777).toString(8)}, so ${who} may write to it`
  }
  return undefined
}
