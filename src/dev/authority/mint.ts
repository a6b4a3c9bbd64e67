import { randomBytes, webcrypto } from 'node:crypto'
import { Certificate } from '../../encoding/index.js'
import { X509CertificateGenerator, type Extension } from './peculiar.js'

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
