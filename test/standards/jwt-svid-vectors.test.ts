import { describe, expect, test } from 'vitest'
import { JwtBundleSet } from '../../src/bundle/index.js'
import { JwtSvid } from '../../src/svid/index.js'
import { now, other, td } from './fixtures.js'
import {
  authority,
  bundlesOf,
  jwtBundles,
  keysOf,
  seconds,
  signedAs,
  verifyText,
  verifyToken,
  withClaims,
  withHeader,
} from './jwt-fixtures.js'

const malformed = 'ERR_JWT_SVID_MALFORMED'
const signature = 'ERR_JWT_SVID_SIGNATURE'
const audience = 'ERR_JWT_SVID_AUDIENCE'
const noKey = 'ERR_AUTHORITY_NOT_FOUND'

type Run = () => Promise<unknown>

function accepts(id: string, what: string, run: Run): void {
  test(`${id} ${what} is accepted`, async () => expect(await run()).toMatchObject({ id: { path: '/w' } }))
}

function refuses(id: string, what: string, code: string, run: Run): void {
  test(`${id} ${what} is refused`, async () => {
    await expect(run()).rejects.toMatchObject({ name: 'UntrustedPeerError', code })
  })
}

describe('headers of JWT-SVIDs', () => {
  for (const [id, what, header] of [
    ['D-001', 'alg and kid', {}],
    ['D-002', 'typ JWT', { typ: 'JWT' }],
    ['D-002', 'typ JOSE', { typ: 'JOSE' }],
    ['D-010', 'no kid', { kid: undefined }],
  ] as const) {
    accepts(id, what, () => withHeader(header))
  }
  for (const [id, what, header] of [
    ['D-004', 'typ jwt', { typ: 'jwt' }],
    ['D-004', 'typ jose', { typ: 'jose' }],
    ['D-005', 'typ invalid', { typ: 'invalid' }],
    ['D-007', 'typ wit+jwt', { typ: 'wit+jwt' }],
    ['D-008', 'an empty typ', { typ: '' }],
    ['D-008', 'a typ that is a number', { typ: 5 }],
    ['D-008', 'a typ that is null', { typ: null }],
    ['D-011', 'an empty kid', { kid: '' }],
    ['D-011', 'a kid that is a number', { kid: 5 }],
    ['D-011', 'a kid that is null', { kid: null }],
    ['D-019', 'HS256 with the public key as secret', { alg: 'HS256' }],
    ['D-022', 'es256', { alg: 'es256' }],
    ['D-023', 'no alg', { alg: undefined }],
    ['D-023', 'alg null', { alg: null }],
    ['D-028', 'jku', { jku: 'https://x/' }],
    ['D-029', 'x5u', { x5u: 'https://x/' }],
    ['D-031', 'x5c', { x5c: ['AAAA'] }],
    ['D-032', 'x5t', { x5t: 'AAAA' }],
    ['D-034', 'a private member', { foo: 'bar' }],
    ['D-035', 'zip', { zip: 'DEF' }],
    ['D-037', 'crit', { crit: ['exp'] }],
    ['D-038', 'an unencoded payload', { crit: ['b64'], b64: false }],
  ] as const) {
    refuses(id, what, malformed, () => withHeader(header))
  }
  refuses('D-013', 'a kid that names no key', noKey, () => withHeader({ kid: 'noKey' }))
  refuses('D-014', 'the kid of another key', signature, () =>
    verifyText(
      td.token({ header: { kid: 'k2' } }),
      bundlesOf(td.jwtBundle().authorities[0]!, authority('ec-p256', 'k2')),
    ),
  )
  for (const alg of ['PS256', 'PS384', 'PS512']) accepts('D-016', alg, () => signedAs(alg, 'rsa-2048'))
  accepts('D-017', 'ES256 with P-256', () => signedAs('ES256', 'ec-p256'))
  accepts('D-017', 'ES384 with P-384', () => signedAs('ES384', 'ec-p384'))
  accepts('D-017', 'ES512 with P-521', () => signedAs('ES512', 'ec-p521'))
  refuses('D-020', 'EdDSA with an Ed25519 authority', malformed, () => signedAs('EdDSA', 'ed25519'))
  refuses('D-025', 'ES384 with a P-256 key', noKey, () => signedAs('ES384', 'ec-p256', 'ES256'))
  refuses('D-026', 'RS256 with an EC key', noKey, () => signedAs('RS256', 'ec-p256', 'ES256'))
  for (const [what, rawHeader] of [
    ['alg twice, none first', '{"alg":"none","alg":"ES256","kid":"k256"}'],
    ['alg twice, none last', '{"alg":"ES256","alg":"none","kid":"k256"}'],
    ['kid twice, once escaped', '{"alg":"ES256","kid":"k256","\\u006bid":"k256"}'],
  ] as const) {
    refuses('D-040', what, malformed, () => verifyToken({ rawHeader, signAs: 'ES256' }))
  }
})

describe('claims and serialisation of JWT-SVIDs', () => {
  for (const [id, what, claims] of [
    ['E-001', 'the baseline', {}],
    ['E-002', 'aud as text', { aud: 'a' }],
    ['E-026', 'exp 30 seconds ago', { exp: seconds - 30 }],
    ['E-029', 'exp with a fraction', { exp: seconds + 300.5 }],
    ['E-031', 'nbf in 30 seconds', { nbf: seconds + 30 }],
  ] as const) {
    accepts(id, what, () => withClaims(claims))
  }
  for (const [id, what, code, claims] of [
    ['E-007', 'an audience that begins with ours', audience, { aud: ['ab'] }],
    ['E-008', 'no aud', malformed, { aud: undefined }],
    ['E-010', 'an empty aud', malformed, { aud: [] }],
    ['E-014', 'aud with a number', malformed, { aud: ['a', 5] }],
    ['E-014', 'aud that is a number', malformed, { aud: 5 }],
    ['E-014', 'aud that is an object', malformed, { aud: {} }],
    ['E-014', 'aud null', malformed, { aud: null }],
    ['E-016', 'an empty sub', malformed, { sub: '' }],
    ['E-017', 'sub that is no SPIFFE ID', malformed, { sub: 'invalid subject' }],
    ['E-019', 'sub with a trust domain in capitals', malformed, { sub: 'spiffe://TD/w' }],
    ['E-019', 'sub with a scheme in capitals', malformed, { sub: 'SPIFFE://td/w' }],
    ['E-022', 'sub of another trust domain', signature, { sub: 'spiffe://other/w' }],
    ['E-023', 'sub that is a number', malformed, { sub: 5 }],
    ['E-025', 'exp null', malformed, { exp: null }],
    ['E-025', 'exp as text', malformed, { exp: String(seconds + 300) }],
    ['E-028', 'exp 61 seconds ago', 'ERR_JWT_SVID_EXPIRED', { exp: seconds - 61 }],
    ['E-028', 'exp two minutes ago', 'ERR_JWT_SVID_EXPIRED', { exp: seconds - 120 }],
    ['E-032', 'nbf in two minutes', 'ERR_JWT_SVID_NOT_YET_VALID', { nbf: seconds + 120 }],
    ['E-034', 'iat as text', malformed, { iat: 'x' }],
  ] as const) {
    refuses(id, what, code, () => withClaims(claims))
  }
  accepts('E-004', 'one of two expected audiences', () => verifyToken({}, { audience: ['b', 'a'] }))
  refuses('E-005', 'another expected audience', audience, () => verifyToken({}, { audience: 'b' }))
  for (const [id, expected] of [
    ['E-011', []],
    ['E-013', ''],
    ['E-013', ['']],
  ] as const) {
    test(`${id} ${JSON.stringify(expected)} is no audience to expect`, async () => {
      const claims = { aud: expected }
      await expect(verifyToken({ claims }, { audience: expected })).rejects.toMatchObject({
        name: 'InvalidInputError',
        code: 'ERR_INVALID_ARGUMENT',
      })
    })
    refuses(id, `aud ${JSON.stringify(expected)}`, malformed, () => withClaims({ aud: expected }))
  }
  test('E-020 the SPIFFE ID of the trust domain itself is accepted', async () => {
    expect((await withClaims({ sub: 'spiffe://td' })).id.path).toBe('')
  })
  test('E-035 further claims are accepted, and shown', async () => {
    const further = { iss: 'x', jti: 'y', role: ['r'] }
    expect((await withClaims(further)).claims).toMatchObject(further)
  })
  for (const [what, rawPayload] of [
    ['a word', 'hello'],
    ['an array', '[]'],
    ['nothing', '{}'],
  ] as const) {
    refuses('E-037', `${what} as payload`, malformed, () => verifyToken({ rawPayload }))
  }
  const good = td.token()
  const [header = '', payload = '', sig = ''] = good.split('.')
  for (const [id, what, text] of [
    ['E-038', 'two parts', `${header}.${payload}`],
    ['E-038', 'four parts', `${good}.${sig}`],
    ['E-038', 'five parts', `${good}.${sig}.${sig}`],
    ['E-038', 'an empty fourth part', `${good}.`],
    ['E-040', 'the flattened JSON form', JSON.stringify({ protected: header, payload, signature: sig })],
    [
      'E-040',
      'the general JSON form',
      JSON.stringify({ payload, signatures: [{ protected: header, signature: sig }] }),
    ],
    ['E-041', 'no signature', `${header}.${payload}.`],
    ['E-043', 'padding', `${header}=.${payload}.${sig}`],
    ['E-043', 'padding of the signature', `${good}==`],
    ['E-044', 'a space before it', ` ${good}`],
    ['E-044', 'a line break behind it', `${good}\n`],
    ['E-044', 'a space within it', `${header}. ${payload}.${sig}`],
    ['E-046', 'a foreign character in the header', `!${good}`],
    ['E-046', 'a foreign character in the payload', `${header}.${payload}!.${sig}`],
    ['E-046', 'the other alphabet', `${header}.${payload}.${sig.slice(0, -2)}+/`],
    ['E-046', 'stray bits at the end', `${header}.${payload}.${sig.slice(0, -1)}${sig.endsWith('B') ? 'C' : 'B'}`],
  ] as const) {
    refuses(id, what, malformed, () => verifyText(text))
  }
  refuses('E-041', 'a signature of zeros', signature, () =>
    verifyToken({ mangleSignature: (bytes) => new Uint8Array(bytes.length) }),
  )
  refuses('E-047', 'a trust domain with an empty bundle', noKey, () => verifyText(good, bundlesOf()))
  refuses('E-047', 'a trust domain without a bundle', 'ERR_BUNDLE_NOT_FOUND', () =>
    verifyText(good, new JwtBundleSet([])),
  )
  test('E-049 also a token that nobody verifies needs an audience', () => {
    const token = (claims: object) => td.token({ claims: { ...claims }, header: { kid: undefined } })
    expect(JwtSvid.parseUnverified(token({})).audience).toEqual(['a'])
    for (const claims of [{ aud: undefined }, { aud: [] }]) {
      expect(() => JwtSvid.parseUnverified(token(claims))).toThrow(
        expect.objectContaining({ code: malformed }) as Error,
      )
    }
  })
  test('each of two trust domains proves its own', async () => {
    expect((await verifyText(other.token())).id.trustDomain.name).toBe('other')
    const token = td.token({ privateKey: other.jwtKeys.privateKey })
    await expect(verifyText(token, jwtBundles, { now })).rejects.toMatchObject({ code: signature })
    expect(keysOf('ec-p256').publicKey.equals(td.jwtKeys.publicKey)).toBe(false)
  })
})
