import { X509BundleSet } from '../../src/bundle/index.js'
import { TestTrustDomain, type TestCertificate, type TestCertificateOptions } from '../../src/dev/testing/index.js'
import { verifyX509Svid, X509Svid, type VerifiedX509Svid } from '../../src/svid/index.js'

export const now = new Date('2026-03-01T12:00:00Z')
export const td = new TestTrustDomain('td', { now })
export const other = new TestTrustDomain('other', { now })
export const bundles = new X509BundleSet([td.bundle(), other.bundle()])

/** Verifies as a peer would be: these certificates, leaf first, at the time of the fixtures. */
export function verify(...chain: readonly TestCertificate[]): VerifiedX509Svid {
  return verifyX509Svid(
    chain.map(({ der }) => der),
    bundles,
    { now },
  )
}

/** Verifies a leaf that the root of `td` issued with these options. */
export function verifyLeaf(options: TestCertificateOptions = {}): VerifiedX509Svid {
  return verify(td.leaf(options))
}

/** Verifies a leaf below one intermediate with these options. */
export function verifyBelow(options: TestCertificateOptions): VerifiedX509Svid {
  const intermediate = td.intermediate(options)
  return verify(td.leaf({}, intermediate), intermediate)
}

/** Verifies a leaf with the root changed. */
export function verifyUnder(root: TestCertificateOptions, depth = 0): VerifiedX509Svid {
  const domain = new TestTrustDomain('td', { now, root })
  const intermediates: TestCertificate[] = []
  for (let i = 0; i < depth; i++) intermediates.unshift(domain.intermediate({}, intermediates[0] ?? domain.root))
  const leaf = domain.leaf({}, intermediates[0] ?? domain.root)
  return verifyX509Svid(
    [leaf, ...intermediates].map(({ der }) => der),
    new X509BundleSet([domain.bundle()]),
    { now },
  )
}

/** Loads a leaf and its key as the workload's own SVID. */
export function loadOwn(leaf: TestCertificate, ...rest: readonly TestCertificate[]): X509Svid {
  const key = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
  return X509Svid.parse(Buffer.concat([leaf, ...rest].map(({ der }) => der)), key)
}

/** The options of a leaf with these URIs. */
export function uris(...values: readonly string[]): TestCertificateOptions {
  return { names: { uris: values } }
}
