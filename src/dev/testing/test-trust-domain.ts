import { createPublicKey } from 'node:crypto'
import { JwtBundle, X509Bundle, type JwtAuthority } from '../../bundle/index.js'
import { TrustDomain } from '../../spiffe-id/index.js'
import { X509Svid } from '../../svid/index.js'
import { writeBundleDocument, type TestBundleDocumentOptions } from './test-bundle-document.js'
import { caDefaults, leafDefaults, TestCertificate, type TestCertificateOptions } from './test-certificate.js'
import { makeTestKeys, type TestKeyPair } from './test-keys.js'
import { signJws, writeToken, type TestTokenOptions } from './test-token.js'

const defaultKeyId = 'k256'

export interface TestTrustDomainOptions {
  /** The time that validity is counted from. Default the current time. */
  now?: Date | undefined
  /** Changes the root certificate. */
  root?: TestCertificateOptions | undefined
}

/**
 * A trust domain for tests, without an agent: mints any good certificate or token, and any bad one by saying what is
 * wrong with it. Synchronous, and quick enough for thousands of them.
 *
 * ```ts
 * const td = new TestTrustDomain('example.org')
 * const good = td.leaf()
 * const expired = td.leaf({ notAfter: new Date(0) })
 * verifyX509Svid([good.der], new X509BundleSet([td.bundle()]))
 * ```
 */
export class TestTrustDomain {
  readonly trustDomain: TrustDomain
  readonly root: TestCertificate
  readonly #now: Date | undefined
  #jwtKeys: TestKeyPair | undefined

  constructor(name: string, options: TestTrustDomainOptions = {}) {
    this.trustDomain = TrustDomain.parse(name)
    this.#now = options.now
    this.root = TestCertificate.selfSigned({
      ...caDefaults,
      subject: `root of ${name}`,
      names: { uris: [this.trustDomain.idString] },
      now: options.now,
      ...options.root,
    })
  }

  /** A leaf SVID issued by the root: `spiffe://<trust domain>/w` unless `names` says otherwise. */
  leaf(options: TestCertificateOptions = {}, issuer: TestCertificate = this.root): TestCertificate {
    return issuer.issue({ ...leafDefaults, names: { uris: [`${this.trustDomain.idString}/w`] }, ...options })
  }

  /** A signing certificate below the root. */
  intermediate(options: TestCertificateOptions = {}, issuer: TestCertificate = this.root): TestCertificate {
    return issuer.issueCa({ names: { uris: [this.trustDomain.idString] }, ...options })
  }

  /** The root, unless other authorities are given; with revocation lists. */
  bundle(options: { authorities?: readonly TestCertificate[]; crls?: readonly Uint8Array[] } = {}): X509Bundle {
    const authorities = (options.authorities ?? [this.root]).map(({ certificate }) => certificate)
    return X509Bundle.fromAuthorities(this.trustDomain, authorities, options.crls)
  }

  /** The root and the key that signs tokens, as a bundle endpoint publishes them; or whatever the options make of it. */
  bundleDocument(options: TestBundleDocumentOptions = {}): string {
    const { authorities = [this.root], jwtAuthorities = this.jwtBundle().authorities } = options
    return writeBundleDocument({ ...options, authorities, jwtAuthorities })
  }

  /** A leaf with its key, as the workload itself would hold it; the chain has the issuer too, unless that is the root. */
  svid(
    options: TestCertificateOptions & { hint?: string | undefined } = {},
    issuer: TestCertificate = this.root,
  ): X509Svid {
    const leaf = this.leaf(options, issuer)
    const chain = issuer === this.root ? leaf.der : Buffer.concat([leaf.der, issuer.der])
    const key = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
    return X509Svid.parse(chain, key, { hint: options.hint })
  }

  /** What signs tokens: EC P-256, with the key ID `k256`. */
  get jwtKeys(): TestKeyPair {
    this.#jwtKeys ??= makeTestKeys('ec-p256')
    return this.#jwtKeys
  }

  /** The key that signs tokens, unless other authorities are given. */
  jwtBundle(authorities?: readonly JwtAuthority[]): JwtBundle {
    const own = { keyId: defaultKeyId, publicKey: this.jwtKeys.publicKey }
    return JwtBundle.fromAuthorities(this.trustDomain, authorities ?? [own])
  }

  /** A JWT-SVID of `spiffe://<trust domain>/w` for the audience `a`, valid for five minutes, unless the options differ. */
  token(options: TestTokenOptions = {}): string {
    const seconds = Math.floor((this.#now?.getTime() ?? Date.now()) / 1000)
    const header = { alg: 'ES256', kid: defaultKeyId, ...options.header }
    const claims = {
      sub: `${this.trustDomain.idString}/w`,
      aud: ['a'],
      iat: seconds,
      exp: seconds + 300,
      ...options.claims,
    }
    const key = options.privateKey ?? this.jwtKeys.privateKey
    return writeToken(
      options.rawHeader ?? JSON.stringify(header),
      options.rawPayload ?? JSON.stringify(claims),
      (signed) => {
        const signature = signJws(options.signAs ?? header.alg, key, createPublicKey(key), signed)
        return options.mangleSignature?.(signature) ?? signature
      },
    )
  }
}
