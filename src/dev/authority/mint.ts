import { randomBytes, webcrypto } from 'node:crypto'
import { Certificate } from '../../encoding/index.js'
import { Extension, X509CertificateGenerator, X509CrlGenerator } from './peculiar.js'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export type CryptoKeys = webcrypto.CryptoKeyPair

/** A fresh EC P-256 key pair. */
export function makeKeys(): Promise<CryptoKeys> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

/** Signs a certificate with a random serial number. */
export async function mint(parts: {
  subject: string
  issuer: string
  notBefore: Date
  notAfter: Date
  publicKey: webcrypto.CryptoKey
  signingKey: webcrypto.CryptoKey
  extensions: Extension[]
}): Promise<Certificate> {
  const serial = randomBytes(16)
  // Positive, and of a fixed length.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  const minted = await X509CertificateGenerator.create(
    { ...parts, serialNumber: serial.toString('hex'), signingAlgorithm: algorithm },
    webcrypto,
  )
  return Certificate.parse(new Uint8Array(minted.rawData))
}

const crlNumberOid = '2.5.29.20'

/**
 * Signs a revocation list of these serial numbers (RFC 5280 §5).
 * @returns DER.
 */
export async function mintCrl(parts: {
  issuer: string
  /** Larger than that of the list before. */
  number: number
  /** Hexadecimal, each once, with the time of its revocation. */
  revoked: ReadonlyMap<string, Date>
  thisUpdate: Date
  nextUpdate: Date
  signingKey: webcrypto.CryptoKey
  extensions: Extension[]
}): Promise<Uint8Array> {
  const { number, revoked, extensions, ...rest } = parts
  const digits = number.toString(16)
  const octets = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex')
  // An INTEGER whose first bit is set would be negative.
  const value = octets.readUInt8(0) > 0x7f ? [0, ...octets] : [...octets]
  const crl = await X509CrlGenerator.create(
    {
      ...rest,
      entries: [...revoked].map(([serialNumber, revocationDate]) => ({ serialNumber, revocationDate })),
      extensions: [...extensions, new Extension(crlNumberOid, false, new Uint8Array([0x02, value.length, ...value]))],
      signingAlgorithm: algorithm,
    },
    webcrypto,
  )
  return new Uint8Array(crl.rawData)
}
