import { createPrivateKey, createPublicKey, sign, verify, type KeyObject, type PrivateKeyInput } from 'node:crypto'
import { checkDer, DerReader, derTag, sameKey, type Certificate, type PemBlock } from '../encoding/index.js'
import { InvalidMaterialError } from '../errors/index.js'

/** How a private key is written in DER: RFC 5958, RFC 8017 appendix A.1.2, RFC 5915. None of them is encrypted. */
export type PrivateKeyFormat = 'pkcs8' | 'pkcs1' | 'sec1'

const limits = { maxBytes: 64 * 1024, maxDepth: 16, maxElements: 256 }

// What follows the version tells the three apart, and an encrypted key (which has no version) from all of them.
const secondTag = { pkcs8: derTag.sequence, pkcs1: derTag.integer, sec1: derTag.octetString }

const labels: Readonly<Record<string, PrivateKeyFormat>> = {
  'PRIVATE KEY': 'pkcs8',
  'RSA PRIVATE KEY': 'pkcs1',
  'EC PRIVATE KEY': 'sec1',
}

/** Reads a key of exactly this format, without a byte more. The error tells nothing about the key. */
export function readPrivateKey(der: Uint8Array, format: PrivateKeyFormat): KeyObject {
  try {
    checkDer(der, 'private key', limits)
    const reader = new DerReader(der).enter(derTag.sequence, 'private key')
    const version = reader.smallInteger('version')
    if (version > 1 || reader.peek() !== secondTag[format]) throw new Error('another format')
    return importPrivateKey({ key: Buffer.from(der), format: 'der', type: format })
  } catch {
    // No cause: what underlies may quote the key.
    throw fault(`the private key is not unencrypted ${format.toUpperCase().replace('PKCS', 'PKCS#')} in DER`)
  }
}

/**
 * Tries twice: on Node.js 20 an error that any code of the process left in the queue of OpenSSL (comparing an EC key with
 * an RSA key is enough) makes it refuse a good key, once. An identity is not to be lost to that.
 */
function importPrivateKey(input: PrivateKeyInput): KeyObject {
  try {
    return createPrivateKey(input)
  } catch {
    return createPrivateKey(input)
  }
}

/** Reads the one private key among PEM blocks; its label says the format. */
export function readPrivateKeyPem(blocks: readonly PemBlock[]): KeyObject {
  const keys = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'))
  const [key] = keys
  if (!key || keys.length > 1) throw fault(`expected one PRIVATE KEY block in the PEM text, found ${keys.length}`)
  const format = Object.hasOwn(labels, key.label) ? labels[key.label] : undefined
  if (format === undefined) throw fault(`expected an unencrypted PRIVATE KEY block, found ${key.label}`)
  return readPrivateKey(key.der, format)
}

/** Signs something with the key and checks it with the certificate, so that a key with a false public half fails. */
export function keyFits(privateKey: KeyObject, certificate: Certificate): boolean {
  try {
    if (!sameKey(createPublicKey(privateKey), certificate.publicKey)) return false
    const probe = Buffer.from('the key belongs to the certificate')
    const hash = certificate.publicKeyKind.type === 'ed25519' ? null : 'sha256'
    return verify(hash, probe, certificate.publicKey, sign(hash, probe, privateKey))
  } catch {
    return false
  }
}

function fault(message: string): InvalidMaterialError {
  return new InvalidMaterialError('ERR_X509_SVID_MALFORMED', message)
}
