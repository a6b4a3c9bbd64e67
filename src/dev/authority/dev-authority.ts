import { KeyObject, randomBytes } from 'node:crypto'
import { X509Bundle } from '../../bundle/index.js'
import { sameBytes, type Certificate } from '../../encoding/index.js'
import { InvalidInputError } from '../../errors/index.js'
import { SpiffeId, TrustDomain } from '../../spiffe-id/index.js'
import { X509Svid } from '../../svid/index.js'
import { makeKeys, mint, mintCrl, type CryptoKeys } from './mint.js'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  GeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
} from './peculiar.js'

// The clocks of the processes that look at the certificates may be a little behind.
const backdateMs = 10_000
const authorityTtlMs = 10 * 365 * 24 * 3600 * 1000

export interface DevAuthorityOptions {
  /** `example.org`, or a parsed one. */
  trustDomain: string | TrustDomain
  /** Start of the authority's validity, less ten seconds. Default the current time. */
  now?: Date | undefined
}

export interface IssueX509SvidOptions {
  /** A SPIFFE ID with a path, of this authority's trust domain. */
  id: string | SpiffeId
  /** Validity from now on, in milliseconds; certificates count in seconds, so it is rounded up. Default one hour. */
  ttlMs?: number | undefined
  /** Start of validity. Default ten seconds before now. */
  notBefore?: Date | undefined
  /** The time to issue at. Default the current time. */
  now?: Date | undefined
  /** DNS names beside the SPIFFE ID. */
  dnsNames?: readonly string[] | undefined
  hint?: string | undefined
}

/** A certificate authority for laptops, demos and tests: EC P-256, its key in memory only. */
export class DevAuthority {
  readonly trustDomain: TrustDomain
  readonly #root: Certificate
  readonly #name: string
  readonly #keys: CryptoKeys
  readonly #keyId: string
  readonly #revoked = new Map<string, Date>()
  #bundle: X509Bundle
  #revoking: Promise<void> = Promise.resolve()

  private constructor(trustDomain: TrustDomain, root: Certificate, name: string, keys: CryptoKeys, keyId: string) {
    this.trustDomain = trustDomain
    this.#root = root
    this.#bundle = X509Bundle.fromAuthorities(trustDomain, [root])
    this.#name = name
    this.#keys = keys
    this.#keyId = keyId
  }

  /** Makes a key and a self-signed certificate that is valid for ten years. */
  static async create({ trustDomain: text, now = new Date() }: DevAuthorityOptions): Promise<DevAuthority> {
    const trustDomain = typeof text === 'string' ? TrustDomain.parse(text) : text
    const keys = await makeKeys()
    const keyId = randomBytes(20).toString('hex')
    const name = `O=authsec-sdk development, CN=${trustDomain.name.slice(0, 64)}, 2.5.4.5=${keyId.slice(0, 16)}`
    const root = await mint({
      subject: name,
      issuer: name,
      notBefore: new Date(now.getTime() - backdateMs),
      notAfter: new Date(now.getTime() + authorityTtlMs),
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        new SubjectAlternativeNameExtension([new GeneralName('url', trustDomain.idString)]),
        new SubjectKeyIdentifierExtension(keyId),
      ],
    })
    return new DevAuthority(trustDomain, root, name, keys, keyId)
  }

  /** The root, and the newest revocation list once something was revoked. */
  bundle(): X509Bundle {
    return this.#bundle
  }

  /** True for what carries the name of this authority as its issuer. */
  issued({ issuer }: Certificate): boolean {
    return sameBytes(issuer, this.#root.subject)
  }

  /**
   * Puts a certificate on the revocation list of this authority, for good: `bundle()` has the new list when this resolves.
   * @param options.now - The time of the revocation. Default the current time.
   * @throws InvalidInputError for a certificate of another issuer.
   */
  revoke(certificate: Certificate, { now = new Date() }: { now?: Date | undefined } = {}): Promise<void> {
    // One list after the other: the newest one holds everything.
    const revoking = this.#revoking.then(() => this.#revoke(certificate, now))
    this.#revoking = revoking.catch(() => undefined)
    return revoking
  }

  /** Makes a fresh key and a certificate for it. */
  async issueX509Svid(options: IssueX509SvidOptions): Promise<X509Svid> {
    const id = typeof options.id === 'string' ? SpiffeId.parse(options.id) : options.id
    if (!id.isMemberOf(this.trustDomain) || id.path === '') {
      throw new InvalidInputError(
        'ERR_SPIFFE_ID_INVALID',
        `expected a SPIFFE ID with a path below ${this.trustDomain.idString}, found ${id.toString()}`,
      )
    }
    const nowMs = (options.now ?? new Date()).getTime()
    const ttlMs = options.ttlMs ?? 3_600_000
    const keys = await makeKeys()
    const names = [
      new GeneralName('url', id.toString()),
      ...(options.dnsNames ?? []).map((dnsName) => new GeneralName('dns', dnsName)),
    ]
    const leaf = await mint({
      subject: `O=authsec-sdk development, CN=${id.path.slice(-64).replace(/^\/|[^A-Za-z0-9/_-]/g, '')}`,
      issuer: this.#name,
      notBefore: options.notBefore ?? new Date(nowMs - backdateMs),
      notAfter: new Date(Math.ceil((nowMs + ttlMs) / 1000) * 1000),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension(names),
        new AuthorityKeyIdentifierExtension(this.#keyId),
      ],
    })
    const pkcs8 = KeyObject.from(keys.privateKey).export({ format: 'der', type: 'pkcs8' })
    return X509Svid.parse(leaf.der, pkcs8, { hint: options.hint })
  }

  async #revoke(certificate: Certificate, now: Date): Promise<void> {
    const { serialNumber } = certificate
    if (!this.issued(certificate)) {
      throw new InvalidInputError(
        'ERR_INVALID_ARGUMENT',
        `expected a certificate of this authority of ${this.trustDomain.name}, found ${serialNumber} of another issuer`,
      )
    }
    if (this.#revoked.has(serialNumber)) return
    const revoked = new Map(this.#revoked).set(serialNumber, now)
    const crl = await mintCrl({
      issuer: this.#name,
      number: revoked.size,
      revoked,
      thisUpdate: new Date(now.getTime() - backdateMs),
      // Whoever revokes makes a new list; as long as nobody does, this one says all there is to say.
      nextUpdate: new Date(this.#root.notAfterMs),
      signingKey: this.#keys.privateKey,
      extensions: [new AuthorityKeyIdentifierExtension(this.#keyId)],
    })
    this.#revoked.set(serialNumber, now)
    this.#bundle = X509Bundle.fromAuthorities(this.trustDomain, [this.#root], [crl])
  }

  toJSON(): { trustDomain: TrustDomain; authority: Certificate; privateKey: string } {
    return { trustDomain: this.trustDomain, authority: this.#root, privateKey: '[redacted]' }
  }
}
