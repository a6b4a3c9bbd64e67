import { open } from 'node:fs/promises'

/** One file of a generation, ready to be written. */
export interface GenerationFile {
  /** Path inside the generation, `/` between the parts; at most one directory deep. */
  readonly name: string
  readonly content: string | Uint8Array
  readonly mode: number
}

/**
 * Writes a file that must not exist yet. It is private to this user until its owner, group and mode are what was asked,
 * and that is before its first byte; when this resolves, the bytes have reached the disk.
 */
export async function writeNewFile(path: string, file: GenerationFile, gid: number | undefined): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    if (gid !== undefined) await handle.chown(-1, gid)
    await handle.chmod(file.mode)
    await handle.writeFile(file.content)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes the entries of a directory durable, where the file system knows how. */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR', 'EACCES'].includes(code)) throw error
  }
}
