import { constants, copyFile, link, realpath } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The node binary by another name, which makes its processes another workload for the agent.
 * @returns The path as the agent sees it, for a selector `unix:path:…`.
 */
export async function nodeNamed(name: string, directory: string): Promise<string> {
  const original = await realpath(process.execPath)
  const path = join(await realpath(directory), name)
  try {
    await link(original, path)
  } catch {
    // On another file system, or the binary is another user's.
    await copyFile(original, path, constants.COPYFILE_FICLONE)
  }
  return path
}
