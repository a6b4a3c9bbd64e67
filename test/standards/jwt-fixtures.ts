import { JwtBundle, JwtBundleSet, type JwtAuthority, type JwtBundleSource } from '../../src/bundle/index.js'
import { makeTestKeys, type TestKeyPair, type TestKeyType, type TestTokenOptions } from '../../src/dev/testing/index.js'
import { verifyJwtSvid, type VerifiedJwtSvid, type VerifyJwtSvidOptions } from '../../src/svid/index.js'
import { now, other, td } from './fixtures.js'

export const seconds = now.getTime() / 1000
export const jwtBundles = new JwtBundleSet([td.jwtBundle(), other.jwtBundle()])

const made = new Map<TestKeyType, TestKeyPair>()

/** One pair of keys of each kind; RSA keys take their time. */
export function keysOf(type: TestKeyType): TestKeyPair {
  const keys = made.get(type) ?? makeTestKeys(type)
  made.set(type, keys)
  return keys
}

export function authority(type: TestKeyType, keyId = 'k256'): JwtAuthority {
  return { keyId, publicKey: keysOf(type).publicKey }
}

/** The bundles of a world in which `td` signs tokens with these keys. */
export function bundlesOf(...authorities: readonly JwtAuthority[]): JwtBundleSet {
  return new JwtBundleSet([JwtBundle.fromAuthorities(td.trustDomain, authorities)])
}

/** Verifies text as a peer's token, for the audience `a` at the time of the fixtures. */
export function verifyText(
  text: string,
  bundles: JwtBundleSource = jwtBundles,
  options: Partial<VerifyJwtSvidOptions> = {},
): Promise<VerifiedJwtSvid> {
  return verifyJwtSvid(text, bundles, { audience: 'a', now, ...options })
}

/** The same for a token of `td` with these changes. */
export function verifyToken(options: TestTokenOptions = {}, more: Partial<VerifyJwtSvidOptions> = {}) {
  return verifyText(td.token(options), jwtBundles, more)
}

export function withHeader(header: Readonly<Record<string, unknown>>): Promise<VerifiedJwtSvid> {
  return verifyToken({ header })
}

export function withClaims(claims: Readonly<Record<string, unknown>>): Promise<VerifiedJwtSvid> {
  return verifyToken({ claims })
}

/** Verifies a token with this `alg`, really signed that way by a key of this kind, which the bundle holds. */
export function signedAs(alg: string, type: TestKeyType, signAs = alg): Promise<VerifiedJwtSvid> {
  const token = td.token({ header: { alg }, privateKey: keysOf(type).privateKey, signAs })
  return verifyText(token, bundlesOf(authority(type)))
}
