import { sign } from 'node:crypto'
import { inspect } from 'node:util'
import { Metadata } from '@grpc/grpc-js'
import { afterEach, expect } from 'vitest'
import { JwtBundleSet, SpiffeBundle, type JwtBundleSource } from '../../src/bundle/index.js'
import { makeTestKeys } from '../../src/dev/testing/index.js'
import { JwtSource } from '../../src/source/index.js'
import { JwtSvid, readBearerToken, type VerifyJwtSvidOptions } from '../../src/svid/index.js'
import { denied, encode, refuse, ScriptedAgent } from '../workload-api/scripted-agent.js'
import { parse, without, x509Entry } from './bundle-fixtures.js'
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
import { jwtSvidSection } from './jwt-svid-rows.js'
import { testSection } from './row.js'

const malformed = 'ERR_JWT_SVID_MALFORMED'
const signature = 'ERR_JWT_SVID_SIGNATURE'
const audience = 'ERR_JWT_SVID_AUDIENCE'
const noKey = 'ERR_AUTHORITY_NOT_FOUND'
const invalid = 'ERR_INVALID_ARGUMENT'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A source whose agent issues tokens with these audiences, or with those that were asked for. */
async function sourceOf(aud?: readonly string[]): Promise<{ source: JwtSource; asked: unknown[] }> {
  const asked: unknown[] = []
  const agent = await ScriptedAgent.start({
    FetchX509SVID: (call) => refuse(call, denied),
    FetchJWTBundles: (call) =>
      void call.write(encode('JWTBundlesResponse', { bundles: { 'spiffe://td': jwks(td.jwtBundle()) } })),
    FetchJWTSVID: (request) => {
      asked.push(request['audience'])
      const svid = td.token({ claims: { aud: aud ?? request['audience'] } })
      return encode('JWTSVIDResponse', { svids: [{ spiffeId: 'spiffe://td/w', svid }] })
    },
  })
  cleanups.push(() => agent.close())
  const source = await JwtSource.open({ endpoint: agent.endpoint, initialTimeoutMs: 5_000, now: () => now })
  cleanups.push(() => source.close())
  return { source, asked }
}

const jwks = (value: object) => Buffer.from(JSON.stringify(value))

testSection(jwtSvidSection, (row) => {
  const good = td.token()
  const [header = '', payload = '', sig = ''] = good.split('.')

  row('JWT-01').accepts('the compact form', () => verifyText(good))
  for (const [what, text] of [
    ['the flattened JSON form', JSON.stringify({ protected: header, payload, signature: sig })],
    ['two parts', `${header}.${payload}`],
    ['four parts', `${good}.${sig}`],
    ['five parts, as a JWE has', `${good}.${sig}.${sig}`],
    ['padding', `${good}==`],
    ['a line break behind it', `${good}\n`],
  ] as const) {
    row('JWT-01').refuses(what, malformed, () => verifyText(text))
  }
  row('JWT-01').refuses('two parts of the agent', malformed, () => JwtSvid.parseUnverified(`${header}.${payload}`))

  row('JWT-02').accepts('alg, kid and typ', () => withHeader({ typ: 'JWT' }))
  for (const name of ['jku', 'jwk', 'x5c', 'x5u', 'cty', 'crit', 'b64', 'zip', 'x5t', '__proto__', 'private']) {
    const rawHeader = `{"alg":"ES256","kid":"k256","${name}":null}`
    row('JWT-02').refuses(name, malformed, () => verifyToken({ rawHeader }))
  }

  const kinds = {
    RS256: 'rsa-2048',
    RS384: 'rsa-2048',
    RS512: 'rsa-2048',
    ES256: 'ec-p256',
    ES384: 'ec-p384',
    ES512: 'ec-p521',
    PS256: 'rsa-2048',
    PS384: 'rsa-2048',
    PS512: 'rsa-2048',
  } as const
  for (const [alg, type] of Object.entries(kinds)) {
    row('JWT-03').accepts(`${alg} of its kind of key`, () => signedAs(alg, type))
    row('JWT-03').refuses(`${alg} over something else`, signature, () => {
      const token = td.token({ header: { alg }, privateKey: keysOf(type).privateKey })
      const [first, second, third] = token.split('.')
      const forged = Buffer.from(second!, 'base64url').toString().replace('/w', '/x')
      const text = [first, Buffer.from(forged).toString('base64url'), third].join('.')
      return verifyText(text, bundlesOf(authority(type)))
    })
  }
  row('JWT-04').accepts('an algorithm of the list', () => verifyText(good))
  row('JWT-04').refuses('none without a signature', malformed, () => withHeader({ alg: 'none' }))
  row('JWT-04').refuses('none with a signature', malformed, () =>
    verifyToken({ header: { alg: 'none' }, signAs: 'ES256' }),
  )
  row('JWT-04').refuses('HS256 with the public key as secret', malformed, () => withHeader({ alg: 'HS256' }))
  row('JWT-04').refuses('EdDSA with a key that fits', malformed, () => signedAs('EdDSA', 'ed25519'))
  row('JWT-04').refuses('ES256K with a key that fits', malformed, () => signedAs('ES256K', 'ec-secp256k1'))
  row('JWT-04').refuses('es256', malformed, () => withHeader({ alg: 'es256' }))
  row('JWT-04').refuses('no algorithm', malformed, () => withHeader({ alg: undefined }))
  row('JWT-04').refuses('a list', malformed, () => withHeader({ alg: ['ES256'] }))
  row('JWT-04').refuses('the name of a method of objects', malformed, () => withHeader({ alg: 'toString' }))

  /** Whether the source of bundles is asked while a token is refused. */
  const asksFor = async (text: string) => {
    let asked = false
    const source: JwtBundleSource = {
      getJwtBundle: (trustDomain) => {
        asked = true
        return jwtBundles.getJwtBundle(trustDomain)
      },
    }
    const message = await verifyText(text, source).then(
      () => '',
      (error: unknown) => (error as Error).message,
    )
    return { asked, message }
  }
  row('JWT-05')
    .accepts('the question for a bundle once the algorithm is known', async () => {
      expect((await asksFor(good)).asked).toBe(true)
    })
    .denies('that question before', async () => (await asksFor(td.token({ header: { alg: 'HS256' } }))).asked)
    .denies('any other reason than the algorithm', async () => {
      const { message } = await asksFor(td.token({ header: { alg: 'HS256', jku: 'x', typ: 'x' }, rawPayload: 'x' }))
      return !message.includes('alg')
    })

  const second = authority('ec-p256', 'second')
  const fromSecond = (kid: string | undefined) =>
    td.token({ header: { kid }, privateKey: keysOf('ec-p256').privateKey })
  row('JWT-06')
    .accepts('a token without kid', () => withHeader({ kid: undefined }))
    .accepts('one of the second of two keys', () =>
      verifyText(fromSecond(undefined), bundlesOf(td.jwtBundle().authorities[0]!, authority('rsa-2048'), second)),
    )
    .refuses('one of a key that is not there', signature, () => verifyText(fromSecond(undefined)))
    .refuses('a kid that names no key, though a key would fit', noKey, () => withHeader({ kid: 'noKey' }))
    .refuses('the kid of another key', signature, () =>
      verifyText(fromSecond('k256'), bundlesOf(td.jwtBundle().authorities[0]!, second)),
    )
    .refuses('a token without kid where seventeen keys would fit', noKey, () => {
      const many = Array.from({ length: 16 }, () => ({ keyId: 'x', publicKey: makeTestKeys().publicKey }))
      return verifyText(td.token({ header: { kid: undefined } }), bundlesOf(...td.jwtBundle().authorities, ...many))
    })

  for (const typ of [undefined, 'JWT', 'JOSE'])
    row('JWT-07').accepts(`typ ${typ ?? 'absent'}`, () => withHeader({ typ }))
  for (const typ of ['jwt', 'at+jwt', 'wit+jwt', '', 5, null]) {
    row('JWT-07').refuses(`typ ${JSON.stringify(typ)}`, malformed, () => withHeader({ typ }))
  }
  for (const sub of ['spiffe://td/w', 'spiffe://td']) row('JWT-08').accepts(sub, () => withClaims({ sub }))
  for (const sub of [undefined, '', 'alice', 'spiffe://td/', 'spiffe://TD/w', ' spiffe://td/w', 5, null]) {
    row('JWT-08').refuses(`sub ${JSON.stringify(sub)}`, malformed, () => withClaims({ sub }))
  }
  row('JWT-09')
    .accepts('iss, jti and others', async () => {
      const more = { iss: 'x', jti: 'y', role: ['r'], nested: { __proto__: null, a: [1, { b: null }] } }
      const { claims } = await withClaims(more)
      expect(claims).toMatchObject({ ...more, sub: 'spiffe://td/w', aud: ['a'] })
      expect([Object.isFrozen(claims), Object.isFrozen(claims['nested'])]).toEqual([true, true])
    })
    .accepts('a claim named __proto__ as a claim', async () => {
      const rawPayload = `{"sub":"spiffe://td/w","aud":"a","exp":${seconds + 300},"__proto__":{"admin":true}}`
      const { claims } = await verifyToken({ rawPayload })
      expect(Object.keys(claims)).toContain('__proto__')
      expect(claims['admin']).toBeUndefined()
    })
    .refuses('a claim that occurs twice', malformed, () =>
      verifyToken({ rawPayload: `{"sub":"spiffe://td/w","aud":"a","exp":1,"exp":${seconds + 300}}` }),
    )

  const agentToken = (claims: object) => JwtSvid.parseUnverified(td.token({ claims: { ...claims } }))
  row('JWT-11')
    .accepts('a token with an audience', () => verifyText(good))
    .accepts('such a token of the agent', () => void agentToken({ aud: 'a' }))
  for (const aud of [undefined, [], null, '', ['']]) {
    row('JWT-11').refuses(`aud ${JSON.stringify(aud)}`, malformed, () => withClaims({ aud }))
    row('JWT-11').refuses(`aud ${JSON.stringify(aud)} of the agent`, malformed, () => agentToken({ aud }))
  }
  for (const aud of ['a', ['x', 'a']]) row('JWT-12').accepts(`aud ${JSON.stringify(aud)}`, () => withClaims({ aud }))
  row('JWT-12').accepts('one of several that are expected', () => verifyToken({}, { audience: ['x', 'a'] }))
  for (const aud of ['A', ['A'], ['ab'], ['b'], 'a ', ['a,b']]) {
    row('JWT-12').refuses(`aud ${JSON.stringify(aud)}`, audience, () => withClaims({ aud }))
  }
  for (const aud of [['a', 5], {}, 5, [['a']], [null]]) {
    row('JWT-12').refuses(`aud ${JSON.stringify(aud)}`, malformed, () => withClaims({ aud }))
  }
  row('JWT-13')
    .accepts('one audience, and asks for nothing else', async () => {
      const { source, asked } = await sourceOf()
      expect((await source.getJwtSvid('a')).audience).toEqual(['a'])
      expect(asked).toEqual([['a']])
    })
    .denies('a token for two where one is asked for', async () => {
      const { source } = await sourceOf()
      return (await source.getJwtSvid(['a', 'b'])) === (await source.getJwtSvid('a'))
    })

  row('JWT-14').accepts('exp', () => withClaims({ exp: seconds + 1 }))
  row('JWT-14').accepts('exp with a fraction', () => withClaims({ exp: seconds + 0.5 }))
  for (const exp of [undefined, null, String(seconds + 300), [], true, 1e300]) {
    row('JWT-14').refuses(`exp ${JSON.stringify(exp)}`, malformed, () => withClaims({ exp }))
  }
  row('JWT-14').refuses('a token of the agent without exp', malformed, () => agentToken({ exp: undefined }))

  const expired = 'ERR_JWT_SVID_EXPIRED'
  const expiringAt = (exp: number, options: Partial<VerifyJwtSvidOptions> = {}) =>
    verifyToken({ claims: { exp: seconds + exp } }, options)
  row('JWT-15')
    .accepts('a token five minutes before exp', () => expiringAt(300))
    .accepts('one 59 seconds after it', () => expiringAt(-59))
    .accepts('one a millisecond before it without leeway', () => expiringAt(0.001, { clockSkewMs: 0 }))
    .refuses('one 60 seconds after it', expired, () => expiringAt(-60))
    .refuses('one 61 seconds after it', expired, () => expiringAt(-61))
    .refuses('one at it without leeway', expired, () => expiringAt(0, { clockSkewMs: 0 }))
    .refuses('one a second after it without leeway', expired, () => expiringAt(-1, { clockSkewMs: 0 }))
    .refuses('exp in the past of years', expired, () => withClaims({ exp: -1e6 }))
  for (const clockSkewMs of [-1, NaN, Infinity]) {
    row('JWT-15').refuses(`a leeway of ${clockSkewMs}`, invalid, () => verifyToken({}, { clockSkewMs }))
  }

  row('JWT-16')
    .accepts('a signature of the trust domain', () => verifyText(good))
    .refuses('a flipped bit', signature, () =>
      verifyToken({ mangleSignature: (bytes) => Buffer.from(bytes).fill((bytes[9] ?? 0) ^ 1, 9, 10) }),
    )
    .refuses('the DER form of ECDSA', signature, () => {
      const der = sign('sha256', Buffer.from(`${header}.${payload}`), td.jwtKeys.privateKey)
      return verifyText(`${header}.${payload}.${der.toString('base64url')}`)
    })
    .refuses('zeros', signature, () => verifyToken({ mangleSignature: (bytes) => new Uint8Array(bytes.length) }))
    .refuses('no signature', malformed, () => verifyText(`${header}.${payload}.`))
    .refuses('another key', signature, () => verifyToken({ privateKey: makeTestKeys().privateKey }))
    .refuses('the key of another trust domain', signature, () => withClaims({ sub: 'spiffe://other/w' }))

  row('JWT-17')
    .accepts('nbf in the past', () => withClaims({ nbf: seconds - 10 }))
    .accepts('nbf in 60 seconds', () => withClaims({ nbf: seconds + 60 }))
    .accepts('iat in two minutes', () => withClaims({ iat: seconds + 120 }))
    .accepts('no iat', () => withClaims({ iat: undefined }))
    .refuses('nbf in 61 seconds', 'ERR_JWT_SVID_NOT_YET_VALID', () => withClaims({ nbf: seconds + 61 }))
    .refuses('nbf in a second without leeway', 'ERR_JWT_SVID_NOT_YET_VALID', () =>
      verifyToken({ claims: { nbf: seconds + 1 } }, { clockSkewMs: 0 }),
    )
    .refuses('nbf as text', malformed, () => withClaims({ nbf: '1' }))
    .refuses('nbf null', malformed, () => withClaims({ nbf: null }))
    .refuses('iat as text', malformed, () => withClaims({ iat: 'x' }))

  row('JWT-18')
    .accepts('ES384 with P-384', () => signedAs('ES384', 'ec-p384'))
    .accepts('RS256 with 2048 bits', () => signedAs('RS256', 'rsa-2048'))
    .refuses('ES256 with a P-384 key', noKey, () => signedAs('ES256', 'ec-p384'))
    .refuses('ES512 with a P-256 key', noKey, () => signedAs('ES512', 'ec-p256'))
    .refuses('ES256 with a secp256k1 key', noKey, () => signedAs('ES256', 'ec-secp256k1'))
    .refuses('RS256 with an EC key', noKey, () => signedAs('RS256', 'ec-p256', 'ES256'))
    .refuses('ES256 with an RSA key', noKey, () => signedAs('ES256', 'rsa-2048', 'RS256'))
    .refuses('RS256 with 1024 bits', noKey, () => signedAs('RS256', 'rsa-1024'))
    .refuses('PS256 that is RS256', signature, () => signedAs('PS256', 'rsa-2048', 'RS256'))
  row('JWT-19')
    .accepts('no crit', () => verifyText(good))
    .refuses('crit of a claim', malformed, () => withHeader({ crit: ['exp'] }))
    .refuses('crit of an unencoded payload', malformed, () => withHeader({ crit: ['b64'], b64: false }))
    .refuses('an empty crit', malformed, () => withHeader({ crit: [] }))

  const svid = JwtSvid.parseUnverified(good)
  row('JWT-20').accepts('what it writes itself', () => expect(readBearerToken(svid.authorization)).toBe(good))
  for (const value of [`bearer ${good}`, `BEARER  ${good}`]) {
    row('JWT-20').accepts(value.slice(0, 8), () => expect(readBearerToken(value)).toBe(good))
  }
  for (const [what, value] of [
    ['no header', undefined],
    ['another scheme', `Basic ${good}`],
    ['the scheme alone', 'Bearer '],
    ['the token alone', good],
    ['two tokens', `Bearer ${good} ${good}`],
  ] as const) {
    row('JWT-20').refuses(what, malformed, () => readBearerToken(value))
  }
  const metadata = (key: string, ...values: (string | Buffer)[]) => {
    const sent = new Metadata()
    for (const value of values) sent.add(key, value)
    return sent.get(key)
  }
  row('JWT-21')
    .accepts('the metadata key authorization', () => {
      expect(readBearerToken(metadata('authorization', svid.authorization))).toBe(good)
    })
    .refuses('none', malformed, () => readBearerToken(metadata('authorization')))
    .refuses('two', malformed, () => readBearerToken(metadata('authorization', svid.authorization, svid.authorization)))
    .refuses('a binary key', malformed, () =>
      readBearerToken(metadata('authorization-bin', Buffer.from(svid.authorization))),
    )

  const marshalled = () =>
    SpiffeBundle.from({ trustDomain: td.trustDomain, jwtAuthorities: td.jwtBundle().authorities }).marshal()
  row('JWT-22')
    .accepts('use and kid in what is marshalled', () => {
      expect(JSON.parse(marshalled())).toMatchObject({ keys: [{ use: 'jwt-svid', kid: 'k256' }] })
    })
    .denies('an entry without kid', () => {
      const [entry] = (JSON.parse(marshalled()) as { keys: Record<string, unknown>[] }).keys
      return parse({ keys: [without(entry!, 'kid')] }).jwtBundle.authorities.length > 0
    })

  const jwtEntryOf = (use: string) => ({
    ...td.jwtKeys.publicKey.export({ format: 'jwk' }),
    kid: 'k256',
    use,
  })
  const verifyWith = (...keys: object[]) => verifyText(good, new JwtBundleSet([parse({ keys }).jwtBundle]))
  row('JWT-23')
    .accepts('the key of a jwt-svid entry', () => verifyWith(jwtEntryOf('jwt-svid')))
    .refuses('the same key in a wit-svid entry', noKey, () => verifyWith(jwtEntryOf('wit-svid')))
    .refuses('the key of an x509-svid entry', noKey, () => {
      const token = td.token({ privateKey: td.root.privateKey })
      return verifyText(token, new JwtBundleSet([parse({ keys: [x509Entry(td.root, { kid: 'k256' })] }).jwtBundle]))
    })
  row('JWT-24')
    .accepts('tokens where the bundle has such an entry', () => verifyWith(jwtEntryOf('jwt-svid'), x509Entry()))
    .refuses('every token where it has none', noKey, () => verifyWith(x509Entry()))

  row('JWT-25').accepts('an audience to expect', () => verifyToken({}, { audience: ['a'] }))
  for (const expected of [[], '', [''], undefined, null, 5, ['a', 5], {}]) {
    row('JWT-25').refuses(`${JSON.stringify(expected)} as audience to expect`, invalid, () =>
      verifyToken({}, { audience: expected as string }),
    )
  }
  row('JWT-26')
    .accepts('the same token twice', async () => {
      const token = td.token({ claims: { jti: 'once' } })
      await verifyText(token)
      await verifyText(token)
    })
    .refuses('it once it has expired', expired, () =>
      verifyText(td.token({ claims: { jti: 'once' } }), jwtBundles, { now: new Date(now.getTime() + 3_600_000) }),
    )

  const shown = (value: unknown) => `${inspect(value, { depth: 10 })} ${JSON.stringify(value)} ${String(value)}`
  row('JWT-27')
    .accepts('the token where it is asked for', () => expect(svid.token).toBe(good))
    .denies('it in what is printed', () => shown(svid).includes(sig))
    .denies('it in what is proved', async () => shown(await verifyText(good)).includes(sig))
    .denies('it in messages', async () => {
      const messages = await Promise.all(
        [
          `${good}x`,
          ` ${good}`,
          td.token({ privateKey: makeTestKeys().privateKey }),
          td.token({ claims: { aud: 'b' } }),
        ].map((text) => verifyText(text).then(() => text, shown)),
      )
      return messages.some((message) => message.includes(payload.slice(0, 20)) || message.includes(header))
    })

  row('JWT-28')
    .accepts('a token with every audience', async () => {
      const { source } = await sourceOf(['a', 'b', 'c'])
      expect((await source.getJwtSvid(['a', 'b'])).audience).toEqual(['a', 'b', 'c'])
    })
    .refuses('one that lacks an audience', 'ERR_WORKLOAD_API_RESPONSE_INVALID', async () => {
      const { source } = await sourceOf(['a'])
      await source.getJwtSvid(['a', 'b'])
    })

  row('WAPI-46')
    .accepts('a token of either of two trust domains', async () => {
      expect((await verifyText(other.token())).id.trustDomain.name).toBe('other')
      expect((await verifyText(good)).id.trustDomain.name).toBe('td')
    })
    .refuses('a token of a trust domain without a bundle', 'ERR_BUNDLE_NOT_FOUND', () =>
      verifyText(other.token(), new JwtBundleSet([td.jwtBundle()])),
    )
    .refuses('one where the source answers with another bundle', 'ERR_BUNDLE_NOT_FOUND', () => {
      const liar: JwtBundleSource = { getJwtBundle: () => td.jwtBundle() }
      return verifyText(other.token({ privateKey: td.jwtKeys.privateKey }), liar)
    })
})
