import { randomBytes, type KeyObject } from 'node:crypto'
import { Certificate } from '../../encoding/index.js'
import { der, derBits, derInteger, derName, derSequence, derTime } from './der-writer.js'
import { exportSpki, keyIdOf, makeTestKeys, signatureAlgorithm, signBytes } from './test-keys.js'
import type { TestKeyPair, TestKeyType, TestSignature } from './test-keys.js'
import { writeCrl, type TestCrlOptions } from './test-crl.js'
import { writeExtensions, type TestExtensionOptions } from './test-extensions.js'

/** Everything about a certificate that may be right or wrong. What is left out is right. */
export interface TestCertificateOptions extends TestExtensionOptions {
  /** Common name; empty for an empty subject. Or a whole Name, DER. Default a name of its own. */
  subject?: string | Uint8Array | undefined
  /** Name of the issuer, DER, when it shall not be the real one's. */
  issuerName?: Uint8Array | undefined
  /** Default 16 random octets. */
  serialNumber?: bigint | undefined
  /** Default one minute before `now`. */
  notBefore?: Date | undefined
  /** Default one hour after `now`. */
  notAfter?: Date | undefined
  keyType?: TestKeyType | undefined
  /** Instead of a fresh key: a twin of another certificate. */
  keys?: TestKeyPair | undefined
  signature?: TestSignature | undefined
  /** Version as it is written; 2, the default, stands for version 3. */
  version?: number | undefined
  /** Changes the bytes before they are signed. */
  mangleSigned?: ((tbs: Uint8Array) => Uint8Array) | undefined
  /** Changes the signature. */
  mangleSignature?: ((signature: Uint8Array) => Uint8Array) | undefined
}

/** The signing half of another certificate, or of itself. */
interface Signer {
  readonly name: Uint8Array
  readonly keyId: Uint8Array
  readonly serialNumber: bigint
  readonly privateKey: KeyObject
}

/** A certificate with its private key, good or bad, that can issue others. */
export class TestCertificate {
  readonly der: Uint8Array
  readonly keys: TestKeyPair
  /** Subject, DER. */
  readonly name: Uint8Array
  readonly keyId: Uint8Array
  readonly serialNumber: bigint
  readonly #now: Date

  private constructor(now: Date, options: TestCertificateOptions, issuer: TestCertificate | undefined) {
    this.#now = now
    this.keys = options.keys ?? makeTestKeys(options.keyType)
    this.keyId = keyIdOf(this.keys.publicKey)
    this.serialNumber = options.serialNumber ?? BigInt(`0x40${randomBytes(15).toString('hex')}`)
    const { subject = `certificate ${this.serialNumber.toString(16).slice(0, 8)}` } = options
    this.name = typeof subject === 'string' ? derName(subject) : subject
    const signer: Signer = issuer
      ? { name: issuer.name, keyId: issuer.keyId, serialNumber: issuer.serialNumber, privateKey: issuer.privateKey }
      : { name: this.name, keyId: this.keyId, serialNumber: this.serialNumber, privateKey: this.privateKey }
    const how = options.signature ?? 'default'
    const algorithm = signatureAlgorithm(signer.privateKey, how)
    const tbs = derSequence(
      der(0xa0, derInteger(options.version ?? 2)),
      derInteger(this.serialNumber),
      algorithm,
      options.issuerName ?? signer.name,
      derSequence(
        derTime(options.notBefore ?? new Date(now.getTime() - 60_000)),
        derTime(options.notAfter ?? new Date(now.getTime() + 3_600_000)),
      ),
      this.name,
      exportSpki(this.keys.publicKey),
      ...writeExtensions(options, this.keyId, signer.keyId),
    )
    const signed = options.mangleSigned?.(tbs) ?? tbs
    const signature = signBytes(signed, signer.privateKey, how)
    this.der = derSequence(signed, algorithm, derBits(options.mangleSignature?.(signature) ?? signature))
  }

  /** A certificate that signs itself: a root with the options of one, or whatever the options say. */
  static selfSigned(options: TestCertificateOptions & { now?: Date | undefined }): TestCertificate {
    return new TestCertificate(options.now ?? new Date(), options, undefined)
  }

  get privateKey(): KeyObject {
    return this.keys.privateKey
  }

  /** Parsed; throws when the options made something that is no certificate. */
  get certificate(): Certificate {
    return Certificate.parse(this.der)
  }

  /** Issues a certificate, whether or not this one may. */
  issue(options: TestCertificateOptions): TestCertificate {
    return new TestCertificate(this.#now, options, this)
  }

  /** A signing certificate: cA, keyCertSign and cRLSign, both extensions critical. */
  issueCa(options: TestCertificateOptions = {}): TestCertificate {
    return this.issue({ ...caDefaults, ...options })
  }

  /** A revocation list, DER. */
  issueCrl(options: TestCrlOptions = {}): Uint8Array {
    return writeCrl(this.#now, options, this)
  }
}

export const caDefaults: TestCertificateOptions = {
  basicConstraints: { ca: true },
  keyUsage: ['keyCertSign', 'cRLSign'],
}

export const leafDefaults: TestCertificateOptions = {
  basicConstraints: { ca: false },
  keyUsage: ['digitalSignature'],
  extKeyUsage: ['serverAuth', 'clientAuth'],
}
