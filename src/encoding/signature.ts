import { constants, verify, type KeyObject, type VerifyKeyObjectInput } from 'node:crypto'
import { DerReader, derTag } from './der-reader.js'
import { oid } from './oids.js'
import { asBuffer } from './public-key-info.js'

/** A signature algorithm that is accepted on certificates and revocation lists. */
interface SignatureScheme {
  readonly keyType: 'ec' | 'rsa' | 'ed25519'
  /** `null` for Ed25519, which hashes by itself. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null
  /** Octets of salt; only RSASSA-PSS has them. */
  readonly pssSalt?: number
}

const hashes = { [oid.sha256]: 'sha256', [oid.sha384]: 'sha384', [oid.sha512]: 'sha512' } as const

const plain: Readonly<Record<string, SignatureScheme>> = {
  [oid.ecdsaWithSha256]: { keyType: 'ec', hash: 'sha256' },
  [oid.ecdsaWithSha384]: { keyType: 'ec', hash: 'sha384' },
  [oid.ecdsaWithSha512]: { keyType: 'ec', hash: 'sha512' },
  [oid.sha256WithRsa]: { keyType: 'rsa', hash: 'sha256' },
  [oid.sha384WithRsa]: { keyType: 'rsa', hash: 'sha384' },
  [oid.sha512WithRsa]: { keyType: 'rsa', hash: 'sha512' },
  [oid.ed25519]: { keyType: 'ed25519', hash: null },
}

export interface SignedData {
  readonly signed: Uint8Array
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Uint8Array
  readonly signature: Uint8Array
}

/** Takes the envelope off a certificate or a revocation list: what was signed, how, and the signature. */
export function readSigned(der: Uint8Array, whole: string, part: string): SignedData {
  const outer = new DerReader(der).enter(derTag.sequence, whole)
  const signed = outer.element(derTag.sequence, part)
  const algorithm = outer.element(derTag.sequence, 'signatureAlgorithm')
  const signature = outer.octetAlignedBits('signature')
  outer.finish(whole)
  return { signed, algorithm, signature }
}

/** Checks one signature. What is unknown, weak (MD5, SHA-1), malformed or made for another kind of key is `false`. */
export function signatureHolds(data: SignedData, keyType: string, publicKey: () => KeyObject): boolean {
  try {
    const scheme = readScheme(data.algorithm)
    if (scheme?.keyType !== keyType) return false
    const key: VerifyKeyObjectInput = { key: publicKey(), dsaEncoding: 'der' }
    if (scheme.pssSalt !== undefined) {
      key.padding = constants.RSA_PKCS1_PSS_PADDING
      key.saltLength = scheme.pssSalt
    } else if (keyType === 'rsa') key.padding = constants.RSA_PKCS1_PADDING
    return verify(scheme.hash, asBuffer(data.signed), key, asBuffer(data.signature))
  } catch {
    return false
  }
}

function readScheme(algorithm: Uint8Array): SignatureScheme | undefined {
  const reader = new DerReader(algorithm).enter(derTag.sequence, 'signature algorithm')
  const id = reader.oid('signature algorithm')
  if (id === oid.rsaPss) return readPss(reader)
  const scheme = plain[id]
  // RFC 4055 §5: NULL or nothing beside RSA. RFC 5758 §3.2, RFC 8410 §3: nothing beside ECDSA and Ed25519.
  if (scheme?.keyType === 'rsa' && !reader.atEnd()) reader.element(derTag.null, 'parameters')
  return reader.atEnd() ? scheme : undefined
}

/** RFC 4055 §3.1, with one hash for message and mask, which is how PSS is used. Its SHA-1 defaults are refused. */
function readPss(algorithm: DerReader): SignatureScheme | undefined {
  const parameters = algorithm.enter(derTag.sequence, 'PSS parameters')
  const hash = readHash(parameters.enter(0xa0, 'PSS hash'))
  const mask = parameters.enter(0xa1, 'PSS mask').enter(derTag.sequence, 'PSS mask')
  const isMgf1 = mask.oid('PSS mask') === oid.mgf1
  const maskHash = readHash(mask)
  const salt = parameters.enter(0xa2, 'PSS salt').smallInteger('PSS salt')
  if (!isMgf1 || hash === undefined || maskHash !== hash || salt > 64) return undefined
  return parameters.atEnd() && algorithm.atEnd() ? { keyType: 'rsa', hash, pssSalt: salt } : undefined
}

function readHash(reader: DerReader): SignatureScheme['hash'] | undefined {
  const algorithm = reader.enter(derTag.sequence, 'PSS hash')
  const id = algorithm.oid('PSS hash')
  if (!algorithm.atEnd()) algorithm.element(derTag.null, 'PSS hash parameters')
  if (!algorithm.atEnd() || !reader.atEnd()) return undefined
  return Object.hasOwn(hashes, id) ? hashes[id as keyof typeof hashes] : undefined
}
