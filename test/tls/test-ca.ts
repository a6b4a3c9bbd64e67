// First, because @peculiar/x509 needs the metadata API when it loads.
import 'reflect-metadata'
import { KeyObject, randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { X509Bundle } from '../../src/bundle/index.js'
import { Certificate } from '../../src/encoding/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { X509Svid } from '../../src/svid/index.js'

export const { ExtendedKeyUsage, KeyUsageFlags } = x509

// Of a flags enum, whose members TypeScript does not take together without a cast.
const signing = (x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign) as x509.KeyUsageFlags

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const hourMs = 3_600_000

/** What a peer holds: any chain and key, an X509-SVID or not. */
export interface Credential {
  /** Leaf first. */
  readonly certificates: readonly Certificate[]
  readonly cert: string
  readonly key: string
}

export interface LeafOptions {
  /** URI names. Several, or none, make no SVID. */
  uris: readonly string[]
  dnsNames?: readonly string[]
  ca?: boolean
  keyUsage?: x509.KeyUsageFlags
  extKeyUsage?: readonly string[]
  notBefore?: Date
  notAfter?: Date
}

export interface CaOptions {
  /** Default: a root of its own. */
  issuer?: TestCa
  /** A root whose name and key it takes over. */
  renews?: TestCa
  /** Subject name; two CAs may share one. */
  subject?: string
  /** Identifies its key in what it issues, as real authorities do. Attacks do better without. */
  keyId?: string
  /** Signs although its certificate says that it may not. */
  leaf?: boolean
  notBefore?: Date
  notAfter?: Date
}

/** An authority that signs whatever it is asked to, for peers that misbehave and for those that do not. */
export class TestCa {
  readonly certificate: Certificate
  readonly subject: string
  readonly #keys: webcrypto.CryptoKeyPair
  /** This CA and those above it, the root left out, as a peer sends them. */
  readonly #intermediates: readonly Certificate[]
  readonly #keyId: string | undefined

  private constructor(
    certificate: Certificate,
    subject: string,
    keys: webcrypto.CryptoKeyPair,
    intermediates: readonly Certificate[],
    keyId: string | undefined,
  ) {
    this.certificate = certificate
    this.subject = subject
    this.#keys = keys
    this.#intermediates = intermediates
    this.#keyId = keyId
  }

  static async create(options: CaOptions = {}): Promise<TestCa> {
    const { issuer, renews, subject = renews?.subject ?? `CN=test ca ${randomBytes(4).toString('hex')}` } = options
    const keys = renews ? renews.#keys : await makeKeys()
    const certificate = await mint({
      subject,
      issuer: issuer?.subject ?? subject,
      notBefore: options.notBefore ?? new Date(Date.now() - hourMs),
      notAfter: options.notAfter ?? new Date(Date.now() + 24 * hourMs),
      publicKey: keys.publicKey,
      signingKey: (issuer ? issuer.#keys : keys).privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(options.leaf !== true, undefined, true),
        ...(options.keyId ? [new x509.SubjectKeyIdentifierExtension(options.keyId)] : []),
        new x509.KeyUsagesExtension(options.leaf ? KeyUsageFlags.digitalSignature : signing, true),
      ],
    })
    const intermediates = issuer ? [certificate, ...issuer.#intermediates] : []
    return new TestCa(certificate, subject, keys, intermediates, options.keyId)
  }

  bundle(trustDomain: string, ...others: TestCa[]): X509Bundle {
    const authorities = [this, ...others].map((ca) => ca.certificate)
    return X509Bundle.fromAuthorities(TrustDomain.parse(trustDomain), authorities)
  }

  /** A revocation list of this CA, DER. */
  async crl(...revoked: Certificate[]): Promise<Uint8Array> {
    const list = await x509.X509CrlGenerator.create(
      {
        issuer: this.subject,
        thisUpdate: new Date(Date.now() - hourMs),
        nextUpdate: new Date(Date.now() + hourMs),
        entries: revoked.map(({ serialNumber }) => ({ serialNumber, revocationDate: new Date(Date.now() - hourMs) })),
        signingKey: this.#keys.privateKey,
        signingAlgorithm: algorithm,
      },
      webcrypto,
    )
    return new Uint8Array(list.rawData)
  }

  async svid(id: string, options: Omit<LeafOptions, 'uris'> = {}): Promise<X509Svid> {
    const { cert, key } = await this.leaf({ ...options, uris: [id] })
    return X509Svid.parsePem(cert, key)
  }

  /** @param sent - What to send after the leaf. Default: the honest intermediates. */
  async leaf(options: LeafOptions, sent: readonly TestCa[] = []): Promise<Credential> {
    const keys = await makeKeys()
    const names = [
      ...options.uris.map((uri) => new x509.GeneralName('url', uri)),
      ...(options.dnsNames ?? []).map((name) => new x509.GeneralName('dns', name)),
    ]
    const leaf = await mint({
      subject: 'CN=leaf',
      issuer: this.subject,
      notBefore: options.notBefore ?? new Date(Date.now() - hourMs),
      notAfter: options.notAfter ?? new Date(Date.now() + hourMs),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(options.ca === true, undefined, true),
        new x509.KeyUsagesExtension(options.keyUsage ?? x509.KeyUsageFlags.digitalSignature, true),
        ...(this.#keyId ? [new x509.AuthorityKeyIdentifierExtension(this.#keyId)] : []),
        ...(options.extKeyUsage ? [new x509.ExtendedKeyUsageExtension([...options.extKeyUsage])] : []),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    })
    const above = sent.length > 0 ? sent.map((ca) => ca.certificate) : this.#intermediates
    return credential([leaf, ...above], keys)
  }
}

function credential(certificates: readonly Certificate[], keys: webcrypto.CryptoKeyPair): Credential {
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString()
  return { certificates, cert: certificates.map((certificate) => certificate.toPem()).join(''), key }
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function mint(parts: {
  subject: string
  issuer: string
  notBefore: Date
  notAfter: Date
  publicKey: webcrypto.CryptoKey
  signingKey: webcrypto.CryptoKey
  extensions: x509.Extension[]
}): Promise<Certificate> {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  const minted = await x509.X509CertificateGenerator.create(
    { ...parts, serialNumber: serial.toString('hex'), signingAlgorithm: algorithm },
    webcrypto,
  )
  return Certificate.parse(new Uint8Array(minted.rawData))
}
