import { rmSync } from 'node:fs'

const directories = new Set<string>()

function removeAll(): void {
  for (const directory of directories) {
    try {
      rmSync(directory, { recursive: true, force: true })
    } catch {
      // The process is ending; nobody is left to tell.
    }
  }
}

/**
 * Removes a temporary directory of ours when the process ends by itself or by `process.exit()`: a key that nobody can
 * find again has no business on the disk. One listener serves all, and none is left when there is nothing to remove.
 */
export function removeAtExit(directory: string): void {
  if (directories.size === 0) process.once('exit', removeAll)
  directories.add(directory)
}

export function forgetAtExit(directory: string): void {
  if (directories.delete(directory) && directories.size === 0) process.removeListener('exit', removeAll)
}
