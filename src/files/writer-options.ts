import { resolve } from 'node:path'
import { InvalidInputError } from '../errors/index.js'
import { readAfterWrite } from './after-write.js'
import type { AfterWrite } from './after-write.js'
import type { JwtFilesOptions } from './jwt-files.js'
import { newTemporaryDirectory } from './temporary-directory.js'

/** Where the identity lies on disk, and who may read it. */
export interface SvidFileWriterOptions {
  /**
   * Directory of the files. Created with `dirMode` when missing; an existing one must belong to this user, be writable
   * by nobody else and be no symbolic link. Default: a new one with a random name in the system's temporary directory.
   */
  certDir?: string | undefined
  /** Mode of the directories that are created here. Default `0o700`. */
  dirMode?: number | undefined
  /** Mode of `svid.key` and `svid.pem`. Never readable by everyone. Default `0o600`. */
  keyMode?: number | undefined
  /** Mode of the files without a secret. Default `0o644`; the directory around them stays private. */
  certMode?: number | undefined
  /** Group that owns everything written here, for readers that run as another user; set the modes with it. */
  gid?: number | undefined
  /** Other names for the files. */
  names?: SvidFileNames | undefined
  /**
   * `der`: chain and bundles as DER certificates one after the other, the key as PKCS#8 DER. `svid.pem` stays PEM, for
   * there is no DER form of both in one. Default `pem`.
   */
  format?: 'pem' | 'der' | undefined
  /** JWT-SVIDs and JWT bundles to keep in the same directory. Default none. */
  jwt?: JwtFilesOptions | undefined
  /** What follows each write, for readers that must be told. */
  afterWrite?: AfterWrite | undefined
}

/** File names inside the directory: no path separators, all different. */
export interface SvidFileNames {
  /** Certificate chain, leaf first. Default `svid.crt`. */
  cert?: string | undefined
  /** Private key, PKCS#8. Default `svid.key`. */
  key?: string | undefined
  /** Trust bundle of the SVID's own trust domain. Default `ca.crt`. */
  ca?: string | undefined
  /** Key and chain in one file. Default `svid.pem`. */
  combined?: string | undefined
}

/** The options, read once, complete and checked. */
export interface WriterSettings {
  readonly directory: string
  /** The directory has a random name of our own, so nobody can come back to it. */
  readonly temporary: boolean
  readonly dirMode: number
  readonly keyMode: number
  readonly certMode: number
  readonly gid: number | undefined
  readonly format: 'pem' | 'der'
  readonly afterWrite: AfterWrite
  readonly jwt: JwtFilesOptions
  readonly names: { readonly [Name in keyof SvidFileNames]-?: string }
}

const defaultNames = { cert: 'svid.crt', key: 'svid.key', ca: 'ca.crt', combined: 'svid.pem' } as const

/** One name, not one of those that the switching of generations needs. */
export function isUsableName(name: unknown): boolean {
  return typeof name === 'string' && /^(?!\.\.?$)(?!\.svid-)(?!(?:current|federated)$)[^/\\\0]+$/.test(name)
}

/** @throws InvalidInputError `ERR_INVALID_ARGUMENT` */
export function readWriterSettings(options: SvidFileWriterOptions = {}): WriterSettings {
  const { certDir, gid } = options
  const names = readNames(options.names)
  if (certDir !== undefined && (typeof certDir !== 'string' || certDir === '' || certDir.includes('\0'))) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'certDir must be the path of a directory')
  }
  if (gid !== undefined && !(Number.isInteger(gid) && gid >= 0)) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `gid must be a numeric group id, found ${String(gid)}`)
  }
  return {
    directory: certDir === undefined ? newTemporaryDirectory() : resolve(certDir),
    temporary: certDir === undefined,
    dirMode: readMode('dirMode', options.dirMode, 0o700, 0o700, 0o755),
    keyMode: readMode('keyMode', options.keyMode, 0o600, 0o400, 0o640),
    certMode: readMode('certMode', options.certMode, 0o644, 0o400, 0o644),
    gid,
    format: readFormat(options.format),
    afterWrite: readAfterWrite(options.afterWrite),
    jwt: readJwt(options.jwt, Object.values(names)),
    names,
  }
}

function readMode(name: string, value: number | undefined, fallback: number, least: number, most: number): number {
  if (value === undefined) return fallback
  if (Number.isInteger(value) && (value & least) === least && (value & ~most) === 0) return value
  const octal = (mode: number) => `0o${mode.toString(8)}`
  const found = typeof value === 'number' ? octal(value) : typeof value
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `${name} must include ${octal(least)} and grant nothing beyond ${octal(most)}, found ${found}`,
  )
}

function readFormat(format: unknown = 'pem'): 'pem' | 'der' {
  if (format === 'pem' || format === 'der') return format
  throw new InvalidInputError('ERR_INVALID_ARGUMENT', `format must be 'pem' or 'der', found ${JSON.stringify(format)}`)
}

function readJwt({ svids = [], bundle }: JwtFilesOptions = {}, taken: readonly string[]): JwtFilesOptions {
  const names = [...svids.map(({ name }) => name), ...(bundle === undefined ? [] : [bundle])]
  for (const name of names) {
    if (isUsableName(name)) continue
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      `jwt gives a file a name that is not usable: ${JSON.stringify(name)}`,
    )
  }
  if (new Set([...taken, ...names]).size !== taken.length + names.length) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'jwt must name files that no other file has the name of')
  }
  for (const { name, audience } of svids) {
    const audiences: unknown[] = [audience].flat()
    if (audiences.length > 0 && audiences.every((item) => typeof item === 'string' && item !== '')) continue
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `jwt must say an audience, or several, for ${name}`)
  }
  return { svids: svids.map((file) => ({ ...file })), bundle }
}

function readNames(names: SvidFileNames | undefined): WriterSettings['names'] {
  const all = {
    cert: names?.cert ?? defaultNames.cert,
    key: names?.key ?? defaultNames.key,
    ca: names?.ca ?? defaultNames.ca,
    combined: names?.combined ?? defaultNames.combined,
  }
  for (const [which, name] of Object.entries(all)) {
    if (isUsableName(name)) continue
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      `names.${which} is not a usable file name: ${JSON.stringify(name)}`,
    )
  }
  if (new Set(Object.values(all)).size !== 4) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'names must name four different files')
  }
  return all
}
