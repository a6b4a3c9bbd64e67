import { createPublicKey, type KeyObject } from 'node:crypto'
import { DerReader, derFault, derTag } from './der-reader.js'
import { oid } from './oids.js'

/** What a SubjectPublicKeyInfo holds, read without building a key. */
export type PublicKeyKind =
  | { readonly type: 'ec'; readonly curve: 'P-256' | 'P-384' | 'P-521' }
  | { readonly type: 'rsa'; readonly bits: number; readonly exponentIsSound: boolean }
  | { readonly type: 'ed25519' }
  | { readonly type: 'other'; readonly oid: string }

const curves = { [oid.p256]: 'P-256', [oid.p384]: 'P-384', [oid.p521]: 'P-521' } as const

export function readPublicKeyKind(spki: Uint8Array): PublicKeyKind {
  const reader = new DerReader(spki).enter(derTag.sequence, 'subjectPublicKeyInfo')
  const algorithm = reader.enter(derTag.sequence, 'key algorithm')
  const type = algorithm.oid('key algorithm')
  const key = reader.octetAlignedBits('public key')
  reader.finish('subjectPublicKeyInfo')
  if (type === oid.ecPublicKey) {
    // Anything but a named curve (explicit parameters) is none of the keys that are used.
    if (algorithm.peek() !== derTag.oid) return { type: 'other', oid: type }
    const curve = algorithm.oid('curve')
    algorithm.finish('key algorithm')
    return curve in curves
      ? { type: 'ec', curve: curves[curve as keyof typeof curves] }
      : { type: 'other', oid: `${type} (${curve})` }
  }
  if (type === oid.rsaEncryption) {
    if (!algorithm.atEnd() && algorithm.contents(derTag.null, 'key parameters').length > 0) {
      throw derFault('key parameters: a NULL is empty')
    }
    algorithm.finish('key algorithm')
    return readRsaKey(key)
  }
  if (type === oid.ed25519) {
    algorithm.finish('key algorithm')
    if (key.length !== 32) throw derFault('an Ed25519 key has 32 octets')
    return { type: 'ed25519' }
  }
  return { type: 'other', oid: type }
}

/** Builds the key. Throws what OpenSSL throws when the numbers are no key, a point off the curve for instance. */
export function importPublicKey(spki: Uint8Array): KeyObject {
  return createPublicKey({ key: asBuffer(spki), format: 'der', type: 'spki' })
}

/** A view of the same bytes for the built-in functions that are typed for `Buffer`. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function readRsaKey(key: Uint8Array): PublicKeyKind {
  const outer = new DerReader(key)
  const reader = outer.enter(derTag.sequence, 'RSA key')
  outer.finish('RSA key')
  const modulus = reader.integer('RSA modulus')
  const exponent = reader.integer('RSA exponent')
  reader.finish('RSA key')
  const first = modulus[0] === 0 ? 1 : 0
  const top = modulus[first] ?? 0
  if ((modulus[0] ?? 0) & 0x80 || top === 0) throw derFault('an RSA modulus is positive')
  const bits = (modulus.length - first) * 8 - Math.clz32(top) + 24
  // With an exponent of 1 every number is its own signature; an even one is no RSA key at all.
  const last = exponent[exponent.length - 1] ?? 0
  const positive = ((exponent[0] ?? 0) & 0x80) === 0
  const exponentIsSound = positive && (last & 1) === 1 && (exponent.length > 1 || last > 1)
  return { type: 'rsa', bits, exponentIsSound }
}
