import { constants, createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { der, derInteger, derOid, derSequence } from './der-writer.js'

/** Kinds of keys: the ones SVIDs are made of, and some that have to be refused. */
export type TestKeyType =
  'ec-p256' | 'ec-p384' | 'ec-p521' | 'ec-secp256k1' | 'rsa-1024' | 'rsa-2048' | 'rsa-4096' | 'ed25519'

/** How a certificate is signed. `default` fits the key: ECDSA, RSA or Ed25519 with SHA-256 where a hash is used. */
export type TestSignature = 'default' | 'sha1' | 'sha384' | 'sha512' | 'pss'

export interface TestKeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export function makeTestKeys(type: TestKeyType = 'ec-p256'): TestKeyPair {
  switch (type) {
    case 'ec-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'ec-p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' })
    case 'ec-p521':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' })
    case 'ec-secp256k1':
      return generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
    case 'ed25519':
      return generateKeyPairSync('ed25519')
    default:
      return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(4)) })
  }
}

export function exportSpki(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' })
}

/** The first 20 octets of the SHA-256 of the key, RFC 7093 §2. */
export function keyIdOf(publicKey: KeyObject): Buffer {
  return createHash('sha256').update(exportSpki(publicKey)).digest().subarray(0, 20)
}

const oids = {
  ec: {
    sha1: '1.2.840.10045.4.1',
    sha256: '1.2.840.10045.4.3.2',
    sha384: '1.2.840.10045.4.3.3',
    sha512: '1.2.840.10045.4.3.4',
  },
  rsa: {
    sha1: '1.2.840.113549.1.1.5',
    sha256: '1.2.840.113549.1.1.11',
    sha384: '1.2.840.113549.1.1.12',
    sha512: '1.2.840.113549.1.1.13',
  },
} as const

/** AlgorithmIdentifier of what {@link signBytes} makes with the same arguments. */
export function signatureAlgorithm(key: KeyObject, how: TestSignature): Buffer {
  const type = key.asymmetricKeyType
  if (type === 'ed25519') return derSequence(derOid('1.3.101.112'))
  const hash = how === 'default' || how === 'pss' ? 'sha256' : how
  if (type === 'ec') return derSequence(derOid(oids.ec[hash]))
  if (how !== 'pss') return derSequence(derOid(oids.rsa[hash]), der(0x05))
  const sha256 = derSequence(derOid('2.16.840.1.101.3.4.2.1'), der(0x05))
  const mgf1 = derSequence(derOid('1.2.840.113549.1.1.8'), sha256)
  return derSequence(
    derOid('1.2.840.113549.1.1.10'),
    derSequence(der(0xa0, sha256), der(0xa1, mgf1), der(0xa2, derInteger(32))),
  )
}

export function signBytes(bytes: Uint8Array, key: KeyObject, how: TestSignature): Buffer {
  if (key.asymmetricKeyType === 'ed25519') return sign(null, bytes, key)
  const hash = how === 'default' || how === 'pss' ? 'sha256' : how
  if (how !== 'pss') return sign(hash, bytes, key)
  return sign(hash, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
}
