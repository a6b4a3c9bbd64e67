import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import {
  derBits,
  derInteger,
  derOctets,
  derOid,
  derSequence,
  der,
  TestTrustDomain,
} from '../../src/dev/testing/index.js'
import type { TestKeyType } from '../../src/dev/testing/index.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { X509Context, X509Svid } from '../../src/svid/index.js'

const now = new Date('2026-03-01T12:00:00Z')
const td = new TestTrustDomain('td', { now })
const noSvid = expect.objectContaining({ code: 'ERR_X509_SVID_MALFORMED' }) as Error
const mismatch = expect.objectContaining({ code: 'ERR_X509_SVID_KEY_MISMATCH' }) as Error
const keyTypes: readonly TestKeyType[] = ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048', 'ed25519']

describe('an SVID is read and written', () => {
  for (const keyType of keyTypes) {
    test(`with a key of ${keyType}, in DER and in PEM`, () => {
      const intermediate = td.intermediate()
      const leaf = td.leaf({ keyType }, intermediate)
      const pkcs8 = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
      const svid = X509Svid.parse(Buffer.concat([leaf.der, intermediate.der]), pkcs8, { hint: 'internal' })
      expect(svid.id.toString()).toBe('spiffe://td/w')
      expect([svid.certificates.length, svid.hint, svid.serialNumber]).toEqual([
        2,
        'internal',
        leaf.certificate.serialNumber,
      ])
      expect([svid.notBefore, svid.expiresAt]).toEqual([leaf.certificate.notBefore, leaf.certificate.notAfter])
      const hint = { hint: 'internal' }
      expect(X509Svid.parse(svid.certificatesDer(), svid.privateKeyDer(), hint).equals(svid)).toBe(true)
      expect(X509Svid.parsePem(svid.certificatesPem(), svid.privateKeyPem(), hint).equals(svid)).toBe(true)
      expect(X509Svid.parse(svid.certificatesDer(), svid.privateKeyDer()).equals(svid)).toBe(false)
      expect(svid.privateKeyPem()).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
    })
  }
  test('from the older key forms, when they are asked for or labelled', () => {
    const rsa = td.leaf({ keyType: 'rsa-2048' })
    const ec = td.leaf({ keyType: 'ec-p384' })
    for (const [leaf, keyFormat] of [
      [rsa, 'pkcs1'],
      [ec, 'sec1'],
    ] as const) {
      const keyDer = leaf.privateKey.export({ type: keyFormat, format: 'der' })
      const keyPem = leaf.privateKey.export({ type: keyFormat, format: 'pem' }).toString()
      expect(X509Svid.parse(leaf.der, keyDer, { keyFormat }).id.path).toBe('/w')
      expect(X509Svid.parsePem(leaf.certificate.toPem(), keyPem).id.path).toBe('/w')
      expect(() => X509Svid.parse(leaf.der, keyDer)).toThrow(noSvid)
      const other = keyFormat === 'pkcs1' ? 'sec1' : 'pkcs1'
      expect(() => X509Svid.parse(leaf.der, keyDer, { keyFormat: other })).toThrow(noSvid)
    }
    const pkcs8 = ec.privateKey.export({ type: 'pkcs8', format: 'der' })
    expect(() => X509Svid.parse(ec.der, pkcs8, { keyFormat: 'sec1' })).toThrow(noSvid)
  })
})

describe('a key is refused', () => {
  const leaf = td.leaf()
  const pem = leaf.certificate.toPem()
  const key = (options: object) =>
    leaf.privateKey.export({ type: 'pkcs8', format: 'pem', ...options } as never) as string
  test('when it is encrypted', () => {
    expect(() => X509Svid.parsePem(pem, key({ cipher: 'aes-256-cbc', passphrase: 'x' }))).toThrow(noSvid)
    const old = leaf.privateKey
      .export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
      .toString()
    expect(() => X509Svid.parsePem(pem, old)).toThrow(noSvid)
  })
  test('when there are two', () => {
    expect(() => X509Svid.parsePem(pem, key({}) + key({}))).toThrow(noSvid)
  })
  test('when it is of another kind or curve', () => {
    for (const keyType of keyTypes) {
      const other = td.leaf({ keyType }).privateKey.export({ type: 'pkcs8', format: 'der' })
      expect(() => X509Svid.parse(leaf.der, other)).toThrow(mismatch)
    }
  })
  test('when only its public half is that of the certificate', () => {
    const point = leaf.keys.publicKey.export({ type: 'spki', format: 'der' }).subarray(-65)
    const algorithm = derSequence(derOid('1.2.840.10045.2.1'), derOid('1.2.840.10045.3.1.7'))
    const claim = (privateKey: KeyObject) => {
      const scalar = Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url')
      const ecKey = derSequence(derInteger(1), derOctets(scalar), der(0xa1, derBits(point)))
      return X509Svid.parse(leaf.der, derSequence(derInteger(0), algorithm, derOctets(ecKey)))
    }
    expect(claim(leaf.privateKey).id.path).toBe('/w')
    const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    // Some versions of OpenSSL notice while reading, others take the public half at its word.
    expect(() => claim(foreign)).toThrow(InvalidMaterialError)
  })
  test('but not because of what other code of the process left in the queue of OpenSSL', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    expect(leaf.keys.publicKey.equals(rsa.publicKey)).toBe(false)
    expect(X509Svid.parsePem(pem, key({})).id.path).toBe('/w')
  })
  test('and the error tells nothing of it', () => {
    const secret = key({}).split('\n')[1]!
    for (const broken of [key({}).replace('\n', '\n*'), key({}).replace(secret, secret.slice(4)), pem]) {
      try {
        X509Svid.parsePem(pem, broken)
        expect.unreachable()
      } catch (error) {
        expect(error).toEqual(noSvid)
        expect(inspect(error, { depth: 20 })).not.toContain(secret.slice(8, 40))
      }
    }
  })
})

describe('an SVID', () => {
  const svid = td.svid()
  test('cannot be changed', () => {
    expect(Object.isFrozen(svid)).toBe(true)
    expect(Object.isFrozen(svid.certificates)).toBe(true)
    expect(Object.isFrozen(svid.id)).toBe(true)
    expect(() => Object.assign(svid, { hint: 'x' })).toThrow(TypeError)
  })
  test('shows its key to nothing that prints', () => {
    const secrets = [svid.privateKeyPem().split('\n')[1]!, Buffer.from(svid.privateKeyDer()).toString('hex')]
    const shown = [
      JSON.stringify({ svid }),
      inspect(svid, { depth: 20, showHidden: true }),
      String(svid),
      inspect([svid]),
    ]
    for (const text of shown) for (const secret of secrets) expect(text).not.toContain(secret)
    expect(Object.keys(svid)).not.toContain('privateKey')
    expect(JSON.stringify(svid)).toContain('"privateKey":"[redacted]"')
  })
  test('is in a context, with the bundles that came with it', () => {
    const bundles = new X509BundleSet([td.bundle()])
    const context = new X509Context({ svids: [svid], bundles })
    expect(context.defaultSvid).toBe(svid)
    expect(Object.isFrozen(context)).toBe(true)
    const same = X509Svid.parse(svid.certificatesDer(), svid.privateKeyDer())
    expect(context.equals(new X509Context({ svids: [same], bundles: new X509BundleSet([td.bundle()]) }))).toBe(true)
    expect(context.equals(new X509Context({ svids: [svid], bundles: new X509BundleSet([]) }))).toBe(false)
    expect(context.equals(new X509Context({ svids: [td.svid()], bundles }))).toBe(false)
    const empty = new X509Context({ svids: [], bundles })
    expect(() => empty.defaultSvid).toThrow(expect.objectContaining({ code: 'ERR_SVID_NOT_FOUND' }))
  })
})
