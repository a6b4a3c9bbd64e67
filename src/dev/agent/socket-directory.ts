import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { InvalidInputError, SpiffeError } from '../../errors/index.js'

/** `sockaddr_un` has 108 bytes on Linux and 104 on macOS and the BSDs, the final zero included. */
export const maxSocketPathBytes = process.platform === 'linux' ? 107 : 103

const maxNameLength = 40

/** Directories to remove should the process end without `close()`. */
const leftovers = new Set<string>()
const removeLeftovers = () => {
  for (const directory of leftovers) rmSync(directory, { recursive: true, force: true })
}

/** Where the sockets of one agent live: a private directory of our own, or one that the caller gave. */
export class SocketDirectory {
  readonly path: string
  readonly #ours: boolean
  readonly #taken = new Set<string>()

  private constructor(path: string, ours: boolean) {
    this.path = path
    this.#ours = ours
  }

  static async open(given: string | undefined): Promise<SocketDirectory> {
    if (given === undefined) {
      // mkdtemp makes it 0700: nobody else can reach a socket inside.
      const path = await mkdtemp(join(tmpdir(), 'authsec-dev-'))
      if (leftovers.size === 0) process.once('exit', removeLeftovers)
      leftovers.add(path)
      return new SocketDirectory(path, true)
    }
    const path = resolve(given)
    try {
      // An existing directory is taken as it is; a file in its place is an error.
      await mkdir(path, { recursive: true, mode: 0o700 })
    } catch (cause) {
      throw new SpiffeError('ERR_DEV_AGENT', `cannot make the directory ${path} for the sockets`, { cause })
    }
    return new SocketDirectory(path, false)
  }

  /**
   * Reserves a path for a socket. A name that is taken gets a number behind it.
   * @param name - What to call it, without `.sock`: letters, digits, `.`, `_` and `-`.
   * @throws InvalidInputError when the path is longer than a Unix socket address may be.
   */
  reserve(name: string): string {
    const base = shorten(name)
    let unique = base
    for (let n = 2; this.#taken.has(unique); n++) unique = `${base}-${n}`
    const path = join(this.path, `${unique}.sock`)
    const bytes = Buffer.byteLength(path)
    if (bytes > maxSocketPathBytes) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `the socket path ${path} has ${bytes} bytes and the system allows ${maxSocketPathBytes}; ` +
          'give the dev agent a shorter directory',
      )
    }
    this.#taken.add(unique)
    return path
  }

  /** Gives a reserved path back. */
  release(path: string): void {
    this.#taken.delete(basename(path, '.sock'))
  }

  /** Removes the directory if it is ours. */
  async remove(): Promise<void> {
    if (!this.#ours) return
    await rm(this.path, { recursive: true, force: true })
    leftovers.delete(this.path)
    if (leftovers.size === 0) process.off('exit', removeLeftovers)
  }
}

/** A long name keeps its beginning and gets a digest, so that two of them stay apart. */
function shorten(name: string): string {
  if (name.length <= maxNameLength) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return `${name.slice(0, maxNameLength - digest.length - 1)}-${digest}`
}
