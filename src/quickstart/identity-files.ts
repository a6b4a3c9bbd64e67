import { InvalidInputError } from '../errors/index.js'
import type {
  FollowableSource,
  FollowOptions,
  JwtFileSource,
  SvidFilePaths,
  SvidFilesStatus,
  SvidFileWriter,
} from '../files/index.js'
import { JwtSource } from '../source/index.js'
import type { WorkloadApiClient } from '../workload-api/index.js'

/** The identity on disk, or its absence. */
export interface IdentityFiles extends AsyncDisposable {
  readonly paths: SvidFilePaths
  status(): SvidFilesStatus | undefined
  follow(source: FollowableSource, options?: FollowOptions): Promise<void>
  close(): Promise<void>
}

/** What stands in for files where none are wanted. */
export const noFiles: IdentityFiles = {
  get paths(): SvidFilePaths {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      'there are no files: initialize() was called with files: false; use certificate, privateKey and trustBundle',
    )
  },
  status: () => undefined,
  follow: () => Promise.resolve(),
  close: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
}

/** Files with the JWT-SVIDs and JWT bundles of the same agent beside them. */
export class JwtIdentityFiles implements IdentityFiles {
  readonly #writer: SvidFileWriter
  readonly #source: JwtSource
  readonly #jwt: JwtFileSource

  constructor(writer: SvidFileWriter, client: WorkloadApiClient) {
    const source = JwtSource.start({ client })
    this.#writer = writer
    this.#source = source
    this.#jwt = {
      // Asked for in the background, so it must not hold the process; whoever waits for the first ones does.
      getJwtSvid: (audience, options) => client.fetchJwtSvid(audience, { ...options, holdProcess: false }),
      getJwtBundle: (trustDomain) => source.getJwtBundle(trustDomain),
      get bundles() {
        return source.bundles
      },
      onUpdate: (listener) => source.onUpdate(listener),
    }
  }

  get paths(): SvidFilePaths {
    return this.#writer.paths
  }

  status(): SvidFilesStatus {
    return this.#writer.status()
  }

  follow(source: FollowableSource, options?: FollowOptions): Promise<void> {
    return this.#writer.follow(source, { ...options, jwt: this.#jwt })
  }

  async close(): Promise<void> {
    try {
      await this.#writer.close()
    } finally {
      await this.#source.close()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
