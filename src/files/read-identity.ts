import { createPrivateKey } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { readFile, readdir, realpath, stat } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { X509Bundle, X509BundleSet } from '../bundle/index.js'
import { pemDecode } from '../encoding/index.js'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import { TrustDomain } from '../spiffe-id/index.js'
import { X509Context, X509Svid, verifyX509Svid } from '../svid/index.js'

/** Where an identity lies, whoever wrote it. */
export interface IdentityPaths {
  readonly certFile: string
  readonly keyFile: string
  readonly caFile: string
  readonly federatedDirectory: string | undefined
}

/** What one look at the files found. */
export interface IdentityRead {
  readonly context: X509Context
  /** Equal to the stamp of another look when the files were the same. */
  readonly stamp: string
}

const attempts = 5

/**
 * Reads the files as one identity. Files that change under the reading are read again; what belongs to two generations
 * is refused: a key that does not fit the certificate, a certificate that the bundle does not prove.
 * @throws SpiffeError `ERR_FILE_READ_FAILED`; its cause says what was wrong.
 */
export async function readIdentity(paths: IdentityPaths): Promise<IdentityRead> {
  try {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const found = await findFiles(paths)
      const contents = await readAll(found)
      // The same files behind the same links before and after: what was read in between is of one moment.
      if (contents && (await findFiles(paths)).stamp === found.stamp) {
        return { context: toContext(contents), stamp: found.stamp }
      }
    }
    throw new InvalidMaterialError('ERR_FILE_READ_FAILED', 'the files changed at each attempt to read them')
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new SpiffeError(
      'ERR_FILE_READ_FAILED',
      `cannot read an identity from ${paths.certFile}, ${paths.keyFile} and ${paths.caFile}: ${why}`,
      { cause },
    )
  }
}

/** The stamp of the files as they are now, or `undefined` while one of them is missing. */
export async function stampOf(paths: IdentityPaths): Promise<string | undefined> {
  try {
    return (await findFiles(paths)).stamp
  } catch {
    return undefined
  }
}

interface FoundFiles {
  readonly cert: string
  readonly key: string
  readonly ca: string
  readonly federated: ReadonlyMap<string, string>
  readonly stamp: string
}

interface Contents {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca: Buffer
  readonly federated: ReadonlyMap<string, Buffer>
}

/** Follows the links once; the files are then read where they led, so that a switch in between cannot mix them. */
async function findFiles({ certFile, keyFile, caFile, federatedDirectory }: IdentityPaths): Promise<FoundFiles> {
  const [cert, key, ca] = await Promise.all([realpath(certFile), realpath(keyFile), realpath(caFile)])
  const federated = await findFederated(federatedDirectory)
  const all = [cert, key, ca, ...federated.values()]
  const stamps = await Promise.all(all.map(async (path) => `${path} ${describe(await stat(path, { bigint: true }))}`))
  return { cert, key, ca, federated, stamp: stamps.join('\n') }
}

function describe({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

async function findFederated(directory: string | undefined): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  if (directory === undefined) return found
  try {
    const real = await realpath(directory)
    for (const entry of (await readdir(real)).sort()) {
      const { name, ext } = parse(entry)
      if (['.crt', '.pem'].includes(ext) && !entry.startsWith('.')) found.set(name, join(real, entry))
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return found
}

/** The contents, or `undefined` when a file went away since it was found. */
async function readAll({ cert, key, ca, federated }: FoundFiles): Promise<Contents | undefined> {
  try {
    const [certBytes, keyBytes, caBytes] = await Promise.all([readFile(cert), readFile(key), readFile(ca)])
    const others = new Map<string, Buffer>()
    for (const [domain, path] of federated) others.set(domain, await readFile(path))
    return { cert: certBytes, key: keyBytes, ca: caBytes, federated: others }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function toContext({ cert, key, ca, federated }: Contents): X509Context {
  const svid = isDer(cert) ? X509Svid.parse(cert, key) : X509Svid.parsePem(cert.toString(), asPkcs8(key.toString()))
  const own = svid.id.trustDomain
  const bundles = new Map([[own.name, toBundle(own, ca)]])
  for (const [name, content] of federated) {
    const domain = TrustDomain.parse(name)
    if (!domain.equals(own)) bundles.set(domain.name, toBundle(domain, content))
  }
  const set = new X509BundleSet(bundles.values())
  // A writer that replaces its files one by one can leave a new certificate beside an old bundle.
  verifyX509Svid(
    svid.certificates.map(({ der }) => der),
    set,
  )
  return new X509Context({ svids: [svid], bundles: set })
}

function toBundle(trustDomain: TrustDomain, content: Buffer): X509Bundle {
  return isDer(content) ? X509Bundle.parse(trustDomain, content) : X509Bundle.parsePem(trustDomain, content.toString())
}

/** A SEQUENCE; no PEM text starts with that byte followed by a length. */
function isDer(content: Buffer): boolean {
  return content[0] === 0x30 && (content[1] ?? 0) >= 0x80
}

/** Other programs also write keys in the older forms of their algorithm. */
function asPkcs8(text: string): string {
  const block = pemDecode(text).find(({ label }) => label === 'EC PRIVATE KEY' || label === 'RSA PRIVATE KEY')
  if (!block) return text
  try {
    const type = block.label.startsWith('EC') ? 'sec1' : 'pkcs1'
    const key = createPrivateKey({ key: Buffer.from(block.der), format: 'der', type })
    return key.export({ type: 'pkcs8', format: 'pem' }).toString()
  } catch {
    // No cause: what underlies may quote the key.
    throw new InvalidMaterialError('ERR_X509_SVID_MALFORMED', `the ${block.label} block holds no such key`)
  }
}
