import { randomBytes } from 'node:crypto'
import { readdir, readlink, rename, rm, rmdir, symlink, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SpiffeError } from '../errors/index.js'
import { syncDirectory, writeNewFile } from './generation-file.js'
import type { GenerationFile } from './generation-file.js'
import { ensurePrivateDirectory, makePrivateDirectory } from './private-directory.js'
import type { DirectoryAccess } from './private-directory.js'

const ours = /^\.svid-[0-9a-f]{16}-/

/**
 * A directory in which a set of files is replaced as a whole.
 *
 *     svid.crt -> current/svid.crt          the stable paths, made once
 *     current  -> .svid-5f0c…-2             switched by one rename
 *     .svid-5f0c…-1/  .svid-5f0c…-2/        generations, each written whole before the switch
 *
 * The previous generation stays for readers that have just resolved `current`.
 */
export class Generations {
  readonly #directory: string
  readonly #access: DirectoryAccess
  readonly #prefix = `.svid-${randomBytes(8).toString('hex')}-`
  #count = 0
  #prepared = false
  #created = false
  #current: string | undefined
  #previous: string | undefined
  readonly #outdated = new Set<string>()

  constructor(directory: string, access: DirectoryAccess) {
    this.#directory = directory
    this.#access = access
  }

  /** Makes or checks the directory and removes what a writer that crashed left, all but its last whole generation. */
  async prepare(): Promise<void> {
    await this.#ensureDirectory()
    const current = await this.#readCurrent()
    for (const entry of await readdir(this.#directory)) {
      if (ours.test(entry) && entry !== current) await this.#remove(entry)
    }
    this.#prepared = true
  }

  /** Writes the files as a new generation and switches to it. When it throws, the generation before is still whole. */
  async publish(files: readonly GenerationFile[], gid: number | undefined): Promise<void> {
    if (this.#prepared) await this.#ensureDirectory()
    else await this.prepare()
    const before = await this.#readCurrent()
    if (this.#current !== undefined && before !== undefined && !before.startsWith(this.#prefix)) {
      throw new SpiffeError(
        'ERR_FILE_WRITE_FAILED',
        `another process has taken over ${this.#directory}; give each process a certDir of its own`,
      )
    }
    const generation = `${this.#prefix}${++this.#count}`
    try {
      await this.#writeGeneration(generation, files, gid)
      await this.#link(generation, 'current')
    } catch (error) {
      await this.#remove(generation).catch(() => undefined) // the reason of the failure is the one to report
      throw error
    }
    if (this.#previous !== undefined) this.#outdated.add(this.#previous)
    this.#previous = before
    this.#current = generation
    await this.#linkStablePaths(files)
    await syncDirectory(this.#directory)
    await this.#removeOutdated()
  }

  /** Removes everything that was made here, and nothing of a writer that took the directory over. */
  async removeAll(): Promise<void> {
    const current = await this.#readCurrent()
    if (current?.startsWith(this.#prefix)) {
      for (const entry of await readdir(this.#directory)) {
        if ((await this.#readLink(entry))?.startsWith('current/')) await unlink(join(this.#directory, entry))
      }
      await unlink(join(this.#directory, 'current'))
      if (this.#previous !== undefined) await this.#remove(this.#previous)
    }
    const entries = await readdir(this.#directory).catch(() => [])
    for (const entry of entries) if (entry.startsWith(this.#prefix)) await this.#remove(entry)
    // Something that is not ours may lie in it; then it stays.
    if (this.#created) await rmdir(this.#directory).catch(() => undefined)
  }

  async #ensureDirectory(): Promise<void> {
    if (await ensurePrivateDirectory(this.#directory, this.#access)) this.#created = true
  }

  async #writeGeneration(generation: string, files: readonly GenerationFile[], gid: number | undefined): Promise<void> {
    const directory = join(this.#directory, generation)
    await makePrivateDirectory(directory, this.#access)
    const inner = new Set(files.map(({ name }) => dirname(name)).filter((name) => name !== '.'))
    for (const name of inner) await makePrivateDirectory(join(directory, name), this.#access)
    // Side by side, for each waits for the disk; all have come to their end before a failure is cleared up.
    const writes = await Promise.allSettled(files.map((file) => writeNewFile(join(directory, file.name), file, gid)))
    for (const write of writes) if (write.status === 'rejected') throw write.reason
    for (const name of ['.', ...inner]) await syncDirectory(join(directory, name))
  }

  /** `svid.crt -> current/svid.crt` and the like: they never change, so neither do the paths that others were told. */
  async #linkStablePaths(files: readonly GenerationFile[]): Promise<void> {
    for (const name of new Set(files.map((file) => file.name.split('/')[0] ?? file.name))) {
      const target = `current/${name}`
      if ((await this.#readLink(name)) !== target) await this.#link(target, name)
    }
  }

  /** Puts a symbolic link in place by renaming, so that the name is never missing. */
  async #link(target: string, name: string): Promise<void> {
    const temporary = join(this.#directory, `${this.#prefix}link`)
    await rm(temporary, { force: true })
    await symlink(target, temporary)
    await rename(temporary, join(this.#directory, name))
  }

  async #removeOutdated(): Promise<void> {
    for (const generation of this.#outdated) {
      try {
        await this.#remove(generation)
        this.#outdated.delete(generation)
      } catch {
        // The new files are in place all the same; the next write tries again.
      }
    }
  }

  #readCurrent(): Promise<string | undefined> {
    return this.#readLink('current')
  }

  async #readLink(name: string): Promise<string | undefined> {
    try {
      return await readlink(join(this.#directory, name))
    } catch {
      return undefined // missing, or not a link
    }
  }

  async #remove(entry: string): Promise<void> {
    // Only names of generations get here: a link that someone pointed elsewhere must not lead a removal astray.
    if (ours.test(entry)) await rm(join(this.#directory, entry), { recursive: true, force: true })
  }
}
