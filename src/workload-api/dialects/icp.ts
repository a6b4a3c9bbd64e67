import { pemDecode } from '../../encoding/index.js'
import type { PrivateKeyFormat } from '../../svid/index.js'
import { unusable, within } from '../decode/unusable.js'
import {
  paths,
  readJWTBundlesResponse,
  readJWTSVIDResponse,
  readValidateJWTSVIDResponse,
  readX509BundlesResponse,
  readX509SVIDResponse,
  writeJWTSVIDRequest,
  writeValidateJWTSVIDRequest,
} from '../wire/generated/icp-workload.js'
import { Reader } from '../wire/reader.js'
import { Writer } from '../wire/writer.js'
import type { Dialect } from './dialect.js'

const keyFormats: Readonly<Record<string, PrivateKeyFormat>> = {
  'PRIVATE KEY': 'pkcs8',
  'RSA PRIVATE KEY': 'pkcs1',
  'EC PRIVATE KEY': 'sec1',
}

/** DER starts with a SEQUENCE; everything else has to be PEM text. */
function isDer(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

/** Certificates as the standard has them: DER, one after the other. Nothing stays nothing. */
function certificates(part: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0 || isDer(bytes)) return bytes
  const blocks = within(part, () => pemDecode(text(bytes))).filter(({ label }) => label === 'CERTIFICATE')
  if (blocks.length === 0) throw unusable(`${part}: neither DER nor PEM certificates`)
  return Buffer.concat(blocks.map(({ der }) => der))
}

/** What cannot be read is left to the parser that comes next: the bundle of one trust domain must not spoil the rest. */
function certificatesIfAny(bytes: Uint8Array): Uint8Array {
  try {
    return certificates('bundle', bytes)
  } catch {
    return bytes
  }
}

function privateKey(part: string, bytes: Uint8Array): { key: Uint8Array; keyFormat: PrivateKeyFormat } {
  if (bytes.length === 0 || isDer(bytes)) return { key: bytes, keyFormat: 'pkcs8' }
  let keys
  try {
    keys = pemDecode(text(bytes)).filter(({ label }) => label.endsWith('PRIVATE KEY'))
  } catch {
    // No cause: what underlies may quote the key.
    throw unusable(`${part}: the private key is neither DER nor PEM`)
  }
  const [key] = keys
  const keyFormat = key && Object.hasOwn(keyFormats, key.label) ? keyFormats[key.label] : undefined
  if (!key || keys.length > 1 || !keyFormat) {
    throw unusable(
      `${part}: expected one unencrypted private key, found ${keys.length} PEM block(s) that end in PRIVATE KEY`,
    )
  }
  return { key: key.der, keyFormat }
}

/** Bare names in whatever case; the checks of a trust domain follow when the message is decoded. */
function bundleKey(key: string): string {
  return key.toLowerCase()
}

function bundleMap(bundles: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> {
  const normal = new Map<string, Uint8Array>()
  for (const [key, value] of bundles) {
    const name = bundleKey(key)
    if (normal.has(name)) throw unusable(`it has two bundles of ${JSON.stringify(name)}`)
    normal.set(name, certificatesIfAny(value))
  }
  return normal
}

/**
 * The agent's JWK Sets say `use: "sig"`, as ordinary ones do; the Workload API's say nothing there. A set that cannot be
 * read is left to the parser that comes next.
 */
function withoutSignatureUse(document: Uint8Array): Uint8Array {
  const plain = (key: unknown) =>
    typeof key === 'object' && key !== null && 'use' in key && key.use === 'sig' ? { ...key, use: undefined } : key
  try {
    const set: unknown = JSON.parse(text(document))
    if (typeof set !== 'object' || set === null || !('keys' in set) || !Array.isArray(set.keys)) return document
    return Buffer.from(JSON.stringify({ ...set, keys: set.keys.map(plain) }))
  } catch {
    return document
  }
}

/** The Workload API as the ICP agent has it: a proto package, PEM or DER by content, bare names as keys of bundles. */
export const icpDialect: Dialect = {
  name: 'icp',
  paths: {
    x509Svids: paths.fetchX509SVID,
    x509Bundles: paths.fetchX509Bundles,
    jwtSvids: paths.fetchJWTSVID,
    jwtBundles: paths.fetchJWTBundles,
    validateJwt: paths.validateJWTSVID,
  },

  readX509Svids(bytes) {
    const { svids, crl, federatedBundles } = readX509SVIDResponse(new Reader(bytes))
    return {
      svids: svids.map(({ spiffeId, x509Svid, x509SvidKey, bundle }, index) => ({
        spiffeId,
        chain: certificates(`certificates of SVID ${index + 1}`, x509Svid),
        ...privateKey(`key of SVID ${index + 1}`, x509SvidKey),
        bundle: certificates(`bundle of SVID ${index + 1}`, bundle),
        hint: '',
      })),
      crls: [...crl.values()],
      federated: bundleMap(federatedBundles),
    }
  },

  readX509Bundles(bytes) {
    return { bundles: bundleMap(readX509BundlesResponse(new Reader(bytes)).bundles), crls: [] }
  },

  writeJwtRequest(audience, spiffeId) {
    const writer = new Writer()
    writeJWTSVIDRequest(writer, { audience: [...audience], spiffeId })
    return writer.finish()
  },

  readJwtSvids(bytes) {
    return readJWTSVIDResponse(new Reader(bytes)).svids.map(({ spiffeId, svid }) => ({ spiffeId, svid, hint: '' }))
  },

  readJwtBundles(bytes) {
    const { bundles } = readJWTBundlesResponse(new Reader(bytes))
    const normal = new Map([...bundles].map(([key, value]) => [bundleKey(key), withoutSignatureUse(value)]))
    if (normal.size < bundles.size) throw unusable('it has two bundles of one trust domain')
    return normal
  },

  writeValidateRequest(audience, token) {
    const writer = new Writer()
    writeValidateJWTSVIDRequest(writer, { audience, svid: token })
    return writer.finish()
  },

  readValidated(bytes) {
    const { spiffeId, claims } = readValidateJWTSVIDResponse(new Reader(bytes))
    // Every value is text here, also those that are numbers or lists in the token.
    return { spiffeId, claims: claims.size === 0 ? undefined : Object.fromEntries(claims) }
  },
}
