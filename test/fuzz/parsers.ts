import { JwtBundle, JwtBundleSet, SpiffeBundle, SpiffeBundleMap } from '../../src/bundle/index.js'
import { X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { makeTestKeys, TestTrustDomain } from '../../src/dev/testing/index.js'
import { Certificate, CertificateRevocationList, parseStrictJson, pemDecode } from '../../src/encoding/index.js'
import { SpiffeError } from '../../src/errors/index.js'
import { SpiffeId, TrustDomain } from '../../src/spiffe-id/index.js'
import { JwtSvid, readBearerToken, verifyJwtSvid, verifyX509Svid, X509Svid } from '../../src/svid/index.js'
import { agentParsers } from './agent-parsers.js'

export interface Parser {
  name: string
  /** Good ones, to be mutated. */
  inputs: readonly Uint8Array[]
  /** Throws when the input is refused. Returns a complaint when it took what it must not take. */
  run: (input: Buffer, original: Uint8Array) => string | undefined | Promise<string | undefined>
  /** Whether what it threw is a refusal. Default: one of our errors. */
  isRefusal?: (error: unknown) => boolean
}

const now = new Date('2026-03-01T12:00:00Z')
const text = (...values: string[]) => values.map((value) => Buffer.from(value))
const nothing = (run: (input: Buffer) => unknown) => (input: Buffer) => {
  run(input)
  return undefined
}

/** Every parser of bytes or text from elsewhere: of issuers, of peers, of the agent. */
export function makeParsers(): Parser[] {
  const td = new TestTrustDomain('td', { now })
  return [
    ...certificateParsers(td),
    ...keyParsers(td),
    ...documentParsers(td),
    ...nameParsers,
    ...tokenParsers(td),
    ...agentParsers(td, now),
  ]
}

function certificateParsers(td: TestTrustDomain): Parser[] {
  const intermediate = td.intermediate({
    nameConstraints: { permitted: { uris: ['td'] } },
    extKeyUsage: ['clientAuth'],
  })
  const leaf = td.leaf({ names: { uris: ['spiffe://td/w'], dnsNames: ['a.test'] } }, intermediate)
  const crl = td.root.issueCrl({ revoked: [1n, 2n, 3n] })
  const certificates = [leaf.der, intermediate.der, td.root.der, td.leaf({ keyType: 'rsa-2048' }).der]
  const bundles = new X509BundleSet([td.bundle({ crls: [crl] })])
  return [
    { name: 'Certificate', inputs: certificates, run: nothing((input) => Certificate.parse(input).publicKey) },
    {
      name: 'certificates',
      inputs: [Buffer.concat(certificates)],
      run: nothing((input) => Certificate.parseAll(input)),
    },
    { name: 'revocation list', inputs: [crl], run: nothing((input) => CertificateRevocationList.parse(input)) },
    {
      name: 'X509Bundle',
      inputs: [td.root.der, crl],
      run: nothing((input) => [td.bundle({ crls: [input] }), X509Bundle.parse(td.trustDomain, input)]),
    },
    {
      name: 'peer',
      inputs: [leaf.der, intermediate.der],
      run: (input, original) => {
        const chain = original === leaf.der ? [input, intermediate.der] : [leaf.der, input]
        const verified = verifyX509Svid(chain, bundles, { now })
        const genuine =
          Buffer.from(verified.leaf.der).equals(leaf.der) && verified.path[1]?.equals(intermediate.certificate)
        return genuine === true ? undefined : 'proved what was never issued'
      },
    },
  ]
}

function keyParsers(td: TestTrustDomain): Parser[] {
  const parse = (name: string, keyType: 'ec-p256' | 'rsa-2048', keyFormat: 'pkcs8' | 'pkcs1' | 'sec1'): Parser => {
    const leaf = td.leaf({ keyType })
    // The types of Node.js bind the format to the kind of key, which here is only known at run time.
    const inputs = [leaf.privateKey.export({ type: keyFormat as 'pkcs8', format: 'der' })]
    const run = (input: Buffer) =>
      X509Svid.parse(leaf.der, input, { keyFormat }).privateKey.equals(leaf.privateKey) ? undefined : 'took another key'
    return { name, inputs, run }
  }
  const svid = td.svid()
  const [certificate, key] = [svid.certificatesPem(), svid.privateKeyPem()]
  return [
    parse('own key, PKCS#8', 'ec-p256', 'pkcs8'),
    parse('own key, PKCS#1', 'rsa-2048', 'pkcs1'),
    parse('own key, SEC1', 'ec-p256', 'sec1'),
    { name: 'PEM', inputs: text(td.bundle().toPem()), run: nothing((input) => pemDecode(input.toString('latin1'))) },
    {
      name: 'own SVID, PEM',
      inputs: text(key + certificate),
      run: (input) => {
        const both = input.toString('latin1')
        // Of another certificate for the same key nobody but a bundle could tell.
        return X509Svid.parsePem(both, both).privateKey.equals(svid.privateKey) ? undefined : 'took another key'
      },
    },
  ]
}

function documentParsers(td: TestTrustDomain): Parser[] {
  const document = SpiffeBundle.from({
    trustDomain: td.trustDomain,
    x509Authorities: [td.root.certificate],
    jwtAuthorities: [{ keyId: 'a', publicKey: makeTestKeys().publicKey }],
    sequenceNumber: 5n,
    refreshHintMs: 60_000,
  }).marshal()
  return [
    {
      name: 'JSON',
      inputs: text(document, '[1,{"a":[true,null,"x\\u0041"]}]'),
      run: nothing((input) => parseStrictJson(input)),
      // The one reader that speaks like JSON.parse: who calls it wraps the error.
      isRefusal: (error) => error instanceof SyntaxError,
    },
    {
      name: 'SpiffeBundle',
      inputs: text(document),
      run: nothing((input) => SpiffeBundle.parse(td.trustDomain, input)),
    },
    { name: 'JwtBundle', inputs: text(document), run: nothing((input) => JwtBundle.parse(td.trustDomain, input)) },
    {
      name: 'SpiffeBundleMap',
      inputs: text(`{"trust_domains":{"td":${document},"__proto__":{"keys":[]}}}`),
      run: nothing((input) => SpiffeBundleMap.parse(input)),
    },
  ]
}

const nameParsers: readonly Parser[] = [
  {
    name: 'SpiffeId',
    inputs: text('spiffe://example.org/ns/prod/sa/web', 'spiffe://a.b-c_d/..w/...'),
    run: (input) => {
      // The grammar once more, as an expression: scheme, name, segments that are neither `.` nor `..`.
      const grammar = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)*$/
      const id = SpiffeId.parseBytes(input).toString()
      return id === input.toString('latin1') && grammar.test(id) ? undefined : `took ${JSON.stringify(id)}`
    },
  },
  {
    name: 'TrustDomain',
    inputs: text('example.org', 'spiffe://td'),
    run: nothing((input) => TrustDomain.parse(input.toString('latin1'))),
  },
]

function tokenParsers(td: TestTrustDomain): Parser[] {
  const bundles = new JwtBundleSet([td.jwtBundle()])
  const [header, claims] = td
    .token({ header: { typ: 'JWT' }, claims: { nbf: 0, role: ['r'] } })
    .split('.', 2)
    .map((part) => Buffer.from(part, 'base64url')) as [Buffer, Buffer]
  const token = td.token()
  /** Signed as it is, so that nothing but the reading stands between it and a proof. */
  const prove = async (raw: { rawHeader?: string; rawPayload?: string }) => {
    const { id, audience } = await verifyJwtSvid(td.token({ ...raw, signAs: 'ES256' }), bundles, { audience: 'a', now })
    if (raw.rawPayload === undefined) return undefined
    const { sub, aud } = JSON.parse(Buffer.from(raw.rawPayload).toString()) as { sub: unknown; aud: unknown }
    const same = sub === id.toString() && JSON.stringify([aud].flat()) === JSON.stringify(audience)
    return same ? undefined : 'read other claims than JSON.parse'
  }
  return [
    {
      name: 'JWT-SVID',
      inputs: text(token),
      run: async (input) => {
        const shown = input.toString('latin1')
        await verifyJwtSvid(shown, bundles, { audience: 'a', now })
        return shown === token ? undefined : 'proved what was never issued'
      },
    },
    { name: 'header of a JWT-SVID', inputs: [header], run: (input) => prove({ rawHeader: input.toString('latin1') }) },
    { name: 'claims of a JWT-SVID', inputs: [claims], run: (input) => prove({ rawPayload: input.toString('latin1') }) },
    {
      name: 'own JWT-SVID',
      inputs: text(token),
      run: nothing((input) => JwtSvid.parseUnverified(input.toString('latin1'))),
    },
    {
      name: 'bearer token',
      inputs: text(`Bearer ${token}`),
      run: nothing((input) => readBearerToken(input.toString('latin1'))),
    },
  ]
}

/** One of our errors. */
export function isOurs(error: unknown): boolean {
  return error instanceof SpiffeError
}
