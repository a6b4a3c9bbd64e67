import { beforeAll, describe, expect, test } from 'vitest'
import { JwtBundleSet, SpiffeBundle, X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { derOid, derSequence, TestTrustDomain } from '../../src/dev/testing/index.js'
import type { TestCertificate, TestCertificateOptions, TestTokenOptions } from '../../src/dev/testing/index.js'
import { SpiffeError } from '../../src/errors/index.js'
import { verifyJwtSvid, verifyX509Svid } from '../../src/svid/index.js'
import { jwtEntry, publicJwk, without, x25519Jwk, x509Entry } from '../standards/bundle-fixtures.js'
import { base64, GoIdentity } from './go-identity.js'
import { keepUntilEnd } from './keep-until-end.js'

const keep = keepUntilEnd()
let go: GoIdentity

beforeAll(async () => {
  go = await keep(GoIdentity.start())
})

/**
 * What we and go-spiffe say of one input: `same` with the verdict of both, or why they differ. Where the difference is
 * none any more the test fails too, so that the list stays true.
 */
type Verdict = { same: 'accept' | 'refuse' } | { ours: 'accept' | 'refuse'; because: string }

const accepted: Verdict = { same: 'accept' }
const refused: Verdict = { same: 'refuse' }
const stricter = (because: string): Verdict => ({ ours: 'refuse', because })
const wider = (because: string): Verdict => ({ ours: 'accept', because })

/** @param make - Makes the input when the test runs: until then the Go program may have been built for minutes. */
function compare<T>(
  what: string,
  verdict: Verdict,
  make: () => T,
  ours: (input: T) => Promise<boolean>,
  theirs: (input: T) => Promise<boolean>,
): void {
  const [we, they] =
    'same' in verdict
      ? [verdict.same, verdict.same]
      : [verdict.ours, verdict.ours === 'accept' ? ('refuse' as const) : ('accept' as const)]
  const words = 'same' in verdict ? `both ${we}` : `we ${we}, go-spiffe does not: ${verdict.because}`
  test(`${what}: ${words}`, async () => {
    const input = make()
    const said = (takes: boolean) => (takes ? 'accept' : 'refuse')
    expect([said(await ours(input)), said(await theirs(input))]).toEqual([we, they])
  })
}

function madeNow<T extends object>(options: T | (() => T)): T {
  return typeof options === 'function' ? options() : options
}

async function takes(run: () => unknown): Promise<boolean> {
  try {
    await run()
    return true
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error
    return false
  }
}

describe('certificates of peers', () => {
  const td = new TestTrustDomain('td')
  const compareChain = (what: string, verdict: Verdict, make: () => readonly TestCertificate[], domain = td) =>
    compare(
      what,
      verdict,
      make,
      (chain) =>
        takes(() => {
          const bundle = X509Bundle.parse(domain.trustDomain, domain.root.der)
          verifyX509Svid(
            chain.map(({ der }) => der),
            new X509BundleSet([bundle]),
          )
        }),
      (chain) =>
        go.takes('verify x509', {
          chain: chain.map(({ der }) => base64(der)),
          bundles: { [domain.trustDomain.name]: base64(domain.root.der) },
          now: Date.now(),
        }),
    )
  const uris = (...values: string[]): TestCertificateOptions => ({ names: { uris: values } })
  const critical = (id: string, value: Uint8Array) => ({ extensions: [{ id, critical: true, value }] })
  const policies = derSequence(derSequence(derOid('1.2.3.4')))

  for (const [what, verdict, options] of [
    ['the baseline', accepted, {}],
    ['an ID without a path', stricter('§5.2: the ID of a leaf has a path'), uris('spiffe://td')],
    ['no names', refused, { names: undefined }],
    ['only a DNS name', refused, { names: { dnsNames: ['td'] } }],
    ['two SPIFFE IDs', refused, uris('spiffe://td/w', 'spiffe://td/x')],
    ['a SPIFFE ID and an https URI', refused, uris('spiffe://td/w', 'https://td/w')],
    ['another scheme', refused, uris('https://td/w')],
    ['an empty fragment', stricter('SPIFFE-ID §2: no fragment, not even an empty one'), uris('spiffe://td/w#')],
    ['a scheme in capitals', stricter('SPIFFE-ID §2: nothing is folded'), uris('SPIFFE://td/w')],
    ['a query', refused, uris('spiffe://td/w?x')],
    ['a port', refused, uris('spiffe://td:1/w')],
    ['percent-encoding', refused, uris('spiffe://td/%77')],
    ['no basicConstraints', accepted, { basicConstraints: null }],
    ['cA', refused, { basicConstraints: { ca: true }, keyUsage: ['digitalSignature', 'keyCertSign'] }],
    ['no keyUsage', stricter('§4.3: keyUsage is set'), { keyUsage: null }],
    ['no digitalSignature', stricter('§4.3: digitalSignature is set'), { keyUsage: ['keyEncipherment'] }],
    ['keyCertSign', refused, { keyUsage: ['digitalSignature', 'keyCertSign'] }],
    ['cRLSign', refused, { keyUsage: ['digitalSignature', 'cRLSign'] }],
    ['serverAuth only', accepted, { extKeyUsage: ['serverAuth'] }],
    ['codeSigning only', stricter('RFC 5280 §4.2.1.12: it is not for TLS'), { extKeyUsage: ['codeSigning'] }],
    ['no extKeyUsage', accepted, { extKeyUsage: null }],
    ['an unknown critical extension', refused, critical('1.2.3.4', Buffer.alloc(2))],
    ['critical policies', stricter('policies are not processed'), critical('2.5.29.32', policies)],
    ['an expired leaf', refused, () => ({ notAfter: new Date(Date.now() - 5000) })],
    ['a leaf of the future', refused, () => ({ notBefore: new Date(Date.now() + 60_000) })],
    ['a broken signature', refused, { mangleSignature: (bytes: Uint8Array) => bytes.map((octet) => octet ^ 1) }],
    ['a key on secp256k1', refused, { keyType: 'ec-secp256k1' }],
  ] satisfies [string, Verdict, TestCertificateOptions | (() => TestCertificateOptions)][]) {
    compareChain(what, verdict, () => [td.leaf(madeNow<TestCertificateOptions>(options))])
  }

  const below = (options: TestCertificateOptions) => {
    const middle = td.intermediate(options)
    return [td.leaf({}, middle), middle]
  }
  const permits = (...values: string[]) => ({ nameConstraints: { permitted: { uris: values } } })
  for (const [what, verdict, options] of [
    ['an intermediate', accepted, {}],
    ['an intermediate of another trust domain', accepted, uris('spiffe://other')],
    ['an intermediate whose ID has a path', stricter('§3.2: signers have none'), uris('spiffe://td/ca')],
    ['an intermediate with two URIs', stricter('§2: an SVID has one'), uris('spiffe://td', 'https://x/')],
    ['an intermediate that is no CA', refused, { basicConstraints: { ca: false } }],
    ['an intermediate without basicConstraints', refused, { basicConstraints: null }],
    ['an intermediate without keyUsage', stricter('§4.3: keyUsage is set'), { keyUsage: null }],
    ['an intermediate without keyCertSign', refused, { keyUsage: ['cRLSign'] }],
    ['an expired intermediate', refused, () => ({ notAfter: new Date(Date.now() - 5000) })],
    ['a permitted name', accepted, permits('td')],
    ['a name that is not permitted', refused, permits('other')],
    ['a name where only those below are permitted', refused, permits('.td')],
  ] satisfies [string, Verdict, TestCertificateOptions | (() => TestCertificateOptions)][]) {
    compareChain(what, verdict, () => below(madeNow<TestCertificateOptions>(options)))
  }
  compareChain('the root behind the leaf', accepted, () => [td.leaf(), td.root])
  compareChain('the intermediate first', refused, () => below({}).reverse())
  compareChain('an intermediate that is missing', refused, () => below({}).slice(0, 1))
  const leafRoot = {
    basicConstraints: null,
    keyUsage: ['digitalSignature'],
    names: { uris: ['spiffe://td/w'] },
  } as const
  const alone = new TestTrustDomain('td', { root: leafRoot })
  compareChain(
    'a leaf as its own authority',
    stricter('an authority is a signing certificate'),
    () => [alone.root],
    alone,
  )
  for (const [name, verdict] of [
    ['1.2.3.4', accepted],
    ['_', accepted],
    ['a..b', wider('§2.1: a name need not be one of DNS')],
    ['a.', wider('§2.1: a name need not be one of DNS')],
  ] as const) {
    const domain = new TestTrustDomain(name)
    compareChain(`the trust domain ${name}`, verdict, () => [domain.leaf()], domain)
  }
})

describe('JWT-SVIDs', () => {
  const td = new TestTrustDomain('td')
  const seconds = (ahead: number) => Math.floor(Date.now() / 1000) + ahead
  const document = JSON.stringify(td.jwtBundle())
  const closed = stricter('§2: nothing but alg, kid and typ')
  const compareToken = (what: string, verdict: Verdict, make: () => string) =>
    compare(
      what,
      verdict,
      make,
      (token) => takes(() => verifyJwtSvid(token, new JwtBundleSet([td.jwtBundle()]), { audience: 'a' })),
      (token) => go.takes('validate jwt', { token, audience: ['a'], bundles: { td: document } }),
    )
  const withHeader = (header: object): TestTokenOptions => ({ header: { ...header } })
  const withClaims = (claims: object): TestTokenOptions => ({ claims: { ...claims } })

  for (const [what, verdict, options] of [
    ['the baseline', accepted, {}],
    ['typ JWT', accepted, withHeader({ typ: 'JWT' })],
    ['typ JOSE', accepted, withHeader({ typ: 'JOSE' })],
    ['typ jwt', refused, withHeader({ typ: 'jwt' })],
    ['typ wit+jwt', refused, withHeader({ typ: 'wit+jwt' })],
    ['typ null', stricter('§2.3: JWT or JOSE where it is there'), withHeader({ typ: null })],
    ['no kid', wider('§2.2: kid is optional'), withHeader({ kid: undefined })],
    ['an empty kid', refused, withHeader({ kid: '' })],
    ['a kid that names no key', refused, withHeader({ kid: 'other' })],
    ['alg none', refused, withHeader({ alg: 'none' })],
    ['alg HS256 with the public key', refused, withHeader({ alg: 'HS256' })],
    ['alg es256', refused, withHeader({ alg: 'es256' })],
    ['ES384 with a P-256 key', refused, { header: { alg: 'ES384' }, signAs: 'ES256' }],
    ['jku', closed, withHeader({ jku: 'https://x/' })],
    ['x5u', closed, withHeader({ x5u: 'https://x/' })],
    ['x5t', closed, withHeader({ x5t: 'AAAA' })],
    ['a private member', closed, withHeader({ foo: 'bar' })],
    ['crit', refused, withHeader({ crit: ['exp'] })],
    ['aud as text', accepted, withClaims({ aud: 'a' })],
    ['two audiences', accepted, withClaims({ aud: ['b', 'a'] })],
    ['another audience', refused, withClaims({ aud: ['b'] })],
    ['no aud', refused, withClaims({ aud: undefined })],
    ['an empty aud', refused, withClaims({ aud: [] })],
    ['no sub', refused, withClaims({ sub: undefined })],
    ['sub that is no SPIFFE ID', refused, withClaims({ sub: 'alice' })],
    ['sub without a path', accepted, withClaims({ sub: 'spiffe://td' })],
    ['sub of another trust domain', refused, withClaims({ sub: 'spiffe://other/w' })],
    ['no exp', refused, withClaims({ exp: undefined })],
    ['exp as text', refused, () => withClaims({ exp: String(seconds(300)) })],
    ['exp half a minute ago', accepted, () => withClaims({ exp: seconds(-30) })],
    ['exp two minutes ago', refused, () => withClaims({ exp: seconds(-120) })],
    ['nbf in two minutes', refused, () => withClaims({ nbf: seconds(120) })],
    ['iat in ten minutes', wider('RFC 7519 §4.1.6: iat bounds nothing'), () => withClaims({ iat: seconds(600) })],
    ['other claims', accepted, withClaims({ role: ['r'], iss: 'x', jti: 'y' })],
    ['a broken signature', refused, { mangleSignature: (bytes: Uint8Array) => bytes.map((octet) => octet ^ 1) }],
  ] satisfies [string, Verdict, TestTokenOptions | (() => TestTokenOptions)][]) {
    compareToken(what, verdict, () => td.token(madeNow<TestTokenOptions>(options)))
  }
  compareToken('a line break behind it', stricter('the compact form has none'), () => `${td.token()}\n`)
  compareToken('a space before it', refused, () => ` ${td.token()}`)
  compareToken('a fourth part', refused, () => `${td.token()}.AAAA`)
})

describe('bundle documents', () => {
  const td = new TestTrustDomain('td')
  const [X, J] = [x509Entry(td.root), jwtEntry()]
  const skips = (because: string) => wider(`${because}; the others stay`)
  const compareDocument = (what: string, verdict: Verdict, document: string) =>
    compare(
      what,
      verdict,
      () => document,
      () => takes(() => SpiffeBundle.parse(td.trustDomain, document)),
      () => go.takes('read bundle', { trustDomain: 'td', document }),
    )
  for (const [what, verdict, keys] of [
    ['one entry of each kind', accepted, [X, J]],
    ['no entries', accepted, []],
    ['an unknown key type', skips('§4.2.1: it is left out'), [X, { kty: 'XYZ', use: 'jwt-svid', kid: 'z' }]],
    ['X25519', skips('RFC 7517 §5: it is left out'), [X, { use: 'jwt-svid', kid: 'z', ...x25519Jwk() }]],
    [
      'secp256k1',
      skips('RFC 7517 §5: it is left out'),
      [X, { use: 'jwt-svid', kid: 'z', ...publicJwk('ec-secp256k1') }],
    ],
    ['no use', accepted, [X, without(J, 'use')]],
    ['another use', accepted, [X, jwtEntry({ use: 'sig' })]],
    ['a future use and an unreadable key', skips('§4.2.2: use comes first'), [X, jwtEntry({ use: 'future', x: '%' })]],
    ['no x5c', skips('X509-SVID §6.2: it is left out'), [without(X, 'x5c'), J]],
    ['an empty x5c', skips('X509-SVID §6.2: it is left out'), [{ ...X, x5c: [] }, J]],
    [
      'two certificates in x5c',
      skips('X509-SVID §6.2: the first counts'),
      [{ ...X, x5c: [X['x5c'], X['x5c']].flat() }, J],
    ],
    ['a certificate of another key', skips('RFC 7517 §4.7'), [{ ...X, ...publicJwk('ec-p256') }, J]],
    ['a jwt-svid entry without kid', skips('JWT-SVID §6.1: it names no key'), [X, without(J, 'kid')]],
  ] satisfies [string, Verdict, unknown[]][]) {
    compareDocument(what, verdict, JSON.stringify({ keys }))
  }
  const strictJson = stricter('readers would disagree about it')
  for (const [what, verdict, document] of [
    ['no keys', refused, '{}'],
    ['keys that are null', refused, '{"keys":null}'],
    ['keys that are an object', refused, '{"keys":{}}'],
    ['keys in capitals', stricter('names of members are compared by case'), '{"KEYS":[]}'],
    ['keys twice', strictJson, '{"keys":[],"keys":[]}'],
    ['members that are not known', accepted, '{"keys":[],"x_foo":1}'],
    ['something behind it', refused, '{"keys":[]}x'],
    ['a byte order mark', refused, '\ufeff{"keys":[]}'],
    ['a sequence number of 64 bits', accepted, '{"keys":[],"spiffe_sequence":18446744073709551615}'],
    [
      'a sequence number of 65 bits',
      wider('§4.1.1: at least 64'),
      '{"keys":[],"spiffe_sequence":18446744073709551616}',
    ],
    ['a negative sequence number', refused, '{"keys":[],"spiffe_sequence":-1}'],
    ['a sequence number with a fraction', refused, '{"keys":[],"spiffe_sequence":1.5}'],
    ['a negative hint', accepted, '{"keys":[],"spiffe_refresh_hint":-1}'],
  ] as const) {
    compareDocument(what, verdict, document)
  }
})
