import { join } from 'node:path'
import { ClosedError, InvalidInputError, SpiffeError } from '../errors/index.js'
import { callOut } from '../flow/index.js'
import { runAfterWrite } from './after-write.js'
import type { AfterWrite } from './after-write.js'
import { Generations } from './generations.js'
import { LatestRun } from './latest-run.js'
import { planFiles } from './plan-files.js'
import type { SvidFileContent } from './plan-files.js'
import { SourceFollower } from './source-follower.js'
import type { FollowableSource, FollowOptions } from './source-follower.js'
import { forgetAtExit, removeAtExit } from './remove-at-exit.js'
import { removeLeftBehind } from './temporary-directory.js'
import { readWriterSettings } from './writer-options.js'
import type { SvidFileWriterOptions, WriterSettings } from './writer-options.js'

/** Absolute paths that stay the same for the life of a writer, across every rotation. */
export interface SvidFilePaths {
  readonly directory: string
  /** Certificate chain, leaf first. */
  readonly certFile: string
  /** Private key, PKCS#8. */
  readonly keyFile: string
  /** Trust bundle of the SVID's own trust domain. */
  readonly caFile: string
  /** Key and chain in one file: whole for any reader, whenever it opens it. */
  readonly combinedFile: string
  /** Directory of the bundles of other trust domains, `<trust domain>.crt` each; missing while there are none. */
  readonly federatedDirectory: string
}

/** How the files are doing now. Plain data. */
export interface SvidFilesStatus {
  readonly directory: string
  /** When they were replaced last. */
  readonly writtenAt: Date | undefined
  /** Why the last write failed; absent when it succeeded. */
  readonly lastError: SpiffeError | undefined
}

/** Writers of this process by directory, until they are closed. */
const inUse = new Map<string, SvidFileWriter>()

/**
 * Keeps an identity on disk for programs that read files: `svid.crt`, `svid.key`, `ca.crt` and `svid.pem`.
 *
 * A generation is written whole and switched by one rename, so a reader that resolves the link `current` once, or that
 * reads `svid.pem`, never sees halves of two. The key is private from its first byte.
 */
export class SvidFileWriter {
  readonly paths: SvidFilePaths
  readonly #settings: WriterSettings
  readonly #generations: Generations
  readonly #followed = new Set<() => void>()
  readonly #writes = new LatestRun<SvidFileContent>((content) => this.#publish(content))
  readonly #hooks = new LatestRun<AfterWrite>(runAfterWrite)
  readonly #hookFailed = new Set<(error: SpiffeError) => void>()
  #writtenAt: Date | undefined
  #lastError: SpiffeError | undefined
  #closing: Promise<void> | undefined

  private constructor(settings: WriterSettings) {
    const { directory, names } = settings
    this.#settings = settings
    this.#generations = new Generations(directory, settings)
    this.paths = Object.freeze({
      directory,
      certFile: join(directory, names.cert),
      keyFile: join(directory, names.key),
      caFile: join(directory, names.ca),
      combinedFile: join(directory, names.combined),
      federatedDirectory: join(directory, 'federated'),
    })
  }

  /**
   * Claims the directory and cleans up after a writer that crashed in it; its last files stay until the first write.
   * A disk that refuses to be written to does not fail this call but the writes, which try everything again.
   * @throws InvalidInputError `ERR_INVALID_ARGUMENT`, also when this process writes to that directory already.
   * @throws SpiffeError `ERR_DIRECTORY_UNSAFE`; the message says what was found.
   */
  static async open(options?: SvidFileWriterOptions): Promise<SvidFileWriter> {
    const settings = readWriterSettings(options)
    const { directory } = settings
    await SvidFileWriter.#leaving(inUse.get(directory))
    if (inUse.has(directory)) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `another SvidFileWriter of this process writes to ${directory}; give each a certDir of its own`,
      )
    }
    const writer = new SvidFileWriter(settings)
    inUse.set(directory, writer)
    try {
      await writer.#generations.prepare()
    } catch (error) {
      if (error instanceof SpiffeError) {
        inUse.delete(directory)
        throw error
      }
    }
    if (settings.temporary) {
      removeAtExit(directory)
      // Nothing here waits for it or depends on it.
      void removeLeftBehind().catch(() => undefined)
    }
    return writer
  }

  /**
   * Replaces the files. Calls do not overlap: of several made during a write, only the newest is written, and all of
   * them settle with it. What `afterWrite` says follows and is not waited for.
   * @throws SpiffeError `ERR_FILE_WRITE_FAILED` or `ERR_DIRECTORY_UNSAFE`; the files before it are then still whole.
   * @throws ClosedError
   */
  write(content: SvidFileContent): Promise<void> {
    if (this.#closing) return Promise.reject(new ClosedError('the SvidFileWriter'))
    return this.#writes.run(content)
  }

  /**
   * Writes the identity of a source now and after each of its updates, until `close()`. Where the source has no usable
   * SVID (withdrawn, expired) the last files stay. A failed write is reported and tried again.
   * @returns When the first write has succeeded or has been reported; it does not reject for a failed write. Where
   * there is an SVID and JWT files are asked for, these have been written or reported too.
   * @throws ClosedError; InvalidInputError `ERR_INVALID_ARGUMENT` when JWT files are asked for and nothing gives them.
   */
  async follow(source: FollowableSource, options?: FollowOptions): Promise<void> {
    if (this.#closing) throw new ClosedError('the SvidFileWriter')
    const { jwt } = this.#settings
    if (!options?.jwt && (jwt.bundle !== undefined || jwt.svids?.length)) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'jwt names files; give follow() a source of JWT-SVIDs as jwt')
    }
    const follower = new SourceFollower(source, (content) => this.write(content), options, jwt)
    this.#followed.add(() => follower.stop())
    if (options?.onFailed) this.#hookFailed.add(options.onFailed)
    await follower.start()
  }

  status(): SvidFilesStatus {
    return { directory: this.paths.directory, writtenAt: this.#writtenAt, lastError: this.#lastError }
  }

  /** Stops following, waits for the write and hooks in progress, then removes everything that this writer made. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** A writer that is being closed gives its directory free in a moment. */
  static async #leaving(writer: SvidFileWriter | undefined): Promise<void> {
    if (writer) await writer.#closing?.catch(() => undefined)
  }

  async #publish(content: SvidFileContent): Promise<void> {
    const files = planFiles(content, this.#settings)
    try {
      await this.#generations.publish(files, this.#settings.gid)
    } catch (cause) {
      this.#lastError = cause instanceof SpiffeError ? cause : writeFailed(this.paths.directory, cause)
      throw this.#lastError
    }
    this.#lastError = undefined
    this.#writtenAt = new Date()
    void this.#hooks.run({ ...this.#settings.afterWrite, onFailed: (error) => this.#tellHookFailed(error) })
  }

  #tellHookFailed(error: SpiffeError): void {
    for (const tell of this.#hookFailed) callOut(() => tell(error))
    callOut(() => this.#settings.afterWrite.onFailed?.(error))
  }

  async #close(): Promise<void> {
    for (const stop of this.#followed) stop()
    await this.#writes.idle()
    await this.#hooks.idle()
    try {
      await this.#generations.removeAll()
    } catch (cause) {
      throw writeFailed(this.paths.directory, cause)
    } finally {
      inUse.delete(this.#settings.directory)
      if (this.#settings.temporary) forgetAtExit(this.#settings.directory)
    }
  }
}

function writeFailed(directory: string, cause: unknown): SpiffeError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new SpiffeError(
    'ERR_FILE_WRITE_FAILED',
    `cannot write the identity to ${directory}: ${why}; the files written before stay as they are`,
    { cause },
  )
}
