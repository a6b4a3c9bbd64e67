import type { JwtBundle, X509Bundle } from '../bundle/index.js'
import { InvalidInputError } from '../errors/index.js'
import type { X509Svid } from '../svid/index.js'
import type { GenerationFile } from './generation-file.js'
import { isUsableName } from './writer-options.js'
import type { WriterSettings } from './writer-options.js'

/** What one generation of files holds. */
export interface SvidFileContent {
  readonly svid: X509Svid
  /** Trust bundle of the SVID's own trust domain. */
  readonly bundle: X509Bundle
  /** Bundles of other trust domains; each becomes `federated/<trust domain>.crt`. */
  readonly federated?: Iterable<X509Bundle> | undefined
  /** JWT authorities: those of the own trust domain go where `jwt.bundle` says, others to `federated/<domain>.json`. */
  readonly jwtBundles?: Iterable<JwtBundle> | undefined
  /** Further files of the same generation, a JWT-SVID for instance. */
  readonly extra?: Iterable<ExtraFile> | undefined
}

/** A file that is written and switched together with the identity. */
export interface ExtraFile {
  readonly name: string
  readonly content: string | Uint8Array
  /** Gets the mode of the key. */
  readonly secret: boolean
}

/**
 * Says which files a generation consists of.
 * @throws InvalidInputError `ERR_INVALID_ARGUMENT` for an extra file whose name is taken or not usable.
 */
export function planFiles(content: SvidFileContent, settings: WriterSettings): GenerationFile[] {
  const { svid, bundle, federated = [], jwtBundles = [], extra = [] } = content
  const { names, keyMode, certMode, format, jwt } = settings
  const roots = (of: X509Bundle) => (format === 'der' ? of.toDer() : pem(of.toPem()))
  const [key, chain] = [pem(svid.privateKeyPem()), pem(svid.certificatesPem())]
  const files: GenerationFile[] = [
    { name: names.cert, content: format === 'der' ? svid.certificatesDer() : chain, mode: certMode },
    { name: names.key, content: format === 'der' ? svid.privateKeyDer() : key, mode: keyMode },
    { name: names.ca, content: roots(bundle), mode: certMode },
    { name: names.combined, content: key + chain, mode: keyMode },
  ]
  for (const { name, content, secret } of extra) {
    if (!isUsableName(name) || files.some((file) => file.name === name)) {
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', `${JSON.stringify(name)} is no free file name`)
    }
    files.push({ name, content, mode: secret ? keyMode : certMode })
  }
  for (const other of jwtBundles) {
    const { name: domain } = other.trustDomain
    const own = domain === bundle.trustDomain.name
    if (own && jwt.bundle === undefined) continue
    const name = own ? jwt.bundle : undefined
    files.push({ name: name ?? `federated/${domain}.json`, content: `${JSON.stringify(other)}\n`, mode: certMode })
  }
  for (const other of federated) {
    const domain = other.trustDomain.name
    if (domain === bundle.trustDomain.name) continue
    files.push({ name: `federated/${domain}.crt`, content: roots(other), mode: certMode })
  }
  return files
}

/** Other programs join PEM files line by line, so each ends with a line break. */
function pem(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
