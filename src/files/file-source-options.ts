import { join, resolve } from 'node:path'
import { InvalidInputError } from '../errors/index.js'
import type { IdentityPaths } from './read-identity.js'

/** Where the files are: one directory, or each file by its path. */
export type SvidFileLocation =
  | {
      /** Directory with `svid.crt`, `svid.key`, `ca.crt` and, where there are any, `federated/<trust domain>.crt`. */
      directory: string
      /** Other names, such as `{ cert: 'tls.crt', key: 'tls.key' }`. Certificate and key may share one file. */
      names?: { cert?: string | undefined; key?: string | undefined; ca?: string | undefined } | undefined
    }
  | {
      /** Certificate chain, PEM, leaf first. */
      certFile: string
      /** Private key, PEM; may be the same file. */
      keyFile: string
      /** Trust bundle of the SVID's own trust domain, PEM; authorities of other domains have no place in it. */
      caFile: string
      /** Directory with the bundle of each other trust domain, `<trust domain>.crt` or `.pem`. */
      federatedDirectory?: string | undefined
    }

export type X509FileSourceOptions = SvidFileLocation & {
  /** Longest wait for files that are whole, in milliseconds; `Infinity` waits for ever. Default 30 000. */
  initialTimeoutMs?: number | undefined
  /** Ends that wait. It does not close a source that is already open. */
  signal?: AbortSignal | undefined
  /** How often to look at the files when nothing reports a change, in milliseconds. Default 10 000. */
  pollMs?: number | undefined
}

/** @throws InvalidInputError `ERR_INVALID_ARGUMENT` */
export function readLocation(location: SvidFileLocation): IdentityPaths {
  if ('directory' in location) {
    const { directory, names } = location
    const inside = (name: string) => join(resolve(pathFrom('directory', directory)), name)
    return {
      certFile: inside(names?.cert ?? 'svid.crt'),
      keyFile: inside(names?.key ?? 'svid.key'),
      caFile: inside(names?.ca ?? 'ca.crt'),
      federatedDirectory: inside('federated'),
    }
  }
  const { federatedDirectory } = location
  return {
    certFile: resolve(pathFrom('certFile', location.certFile)),
    keyFile: resolve(pathFrom('keyFile', location.keyFile)),
    caFile: resolve(pathFrom('caFile', location.caFile)),
    federatedDirectory:
      federatedDirectory === undefined ? undefined : resolve(pathFrom('federatedDirectory', federatedDirectory)),
  }
}

function pathFrom(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `${name} must be a path; give the directory of the files, or certFile, keyFile and caFile`,
  )
}
