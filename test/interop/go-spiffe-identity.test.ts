import { createPublicKey } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { JwtBundle, JwtBundleSet, SpiffeBundle, X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import type { SpiffeBundleParts } from '../../src/bundle/index.js'
import { makeTestKeys, TestTrustDomain, type TestKeyType } from '../../src/dev/testing/index.js'
import { SpiffeError } from '../../src/errors/index.js'
import { SpiffeId, TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyJwtSvid, verifyX509Svid, X509Svid } from '../../src/svid/index.js'
import { spiffeIdTexts, trustDomainTexts } from '../standards/spiffe-id-texts.js'
import { base64, bytesOf, GoIdentity } from './go-identity.js'
import { keepUntilEnd } from './keep-until-end.js'

const keep = keepUntilEnd()
const id = 'spiffe://example.org/ns/prod/sa/web'
const trustDomain = TrustDomain.parse('example.org')
const kinds = ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048', 'ed25519'] as const satisfies readonly TestKeyType[]
let go: GoIdentity

beforeAll(async () => {
  go = await keep(GoIdentity.start())
})

/** What we say of a text, in the words of the Go program; `null` for a refusal. */
function ours<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error
    return null
  }
}

describe('SPIFFE IDs', () => {
  // What go-spiffe takes and we do not, with the clause that is on our side.
  const tooLong = 'a trust domain name has at most 255 bytes: SPIFFE-ID §2.3'
  const deviations = new Map<string, string>([
    [`spiffe://${'a'.repeat(256)}/w`, tooLong],
    [`spiffe://td/${'p'.repeat(10_000)}`, 'a bound of 8 KiB against a stranger; §2.3 asks for 2048 bytes'],
  ])
  const domainDeviations = new Map<string, string>([
    ['a'.repeat(256), tooLong],
    ['spiffe://trustdomain/path', 'a path is part of no trust domain name; go-spiffe drops it in silence'],
  ])

  test('every text has the same verdict, or a deviation that is listed', async () => {
    const octets = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
    const texts = [
      ...spiffeIdTexts.map(([, text]) => text),
      ...[...deviations.keys()],
      ...octets.flatMap((char) => [`spiffe://td${char}x/w`, `spiffe://td/x${char}x`, `spiffe://td/w${char}`]),
    ]
    const theirs = await go.ask<(object | null)[]>('read ids', texts.map(base64))
    expect(theirs).toHaveLength(texts.length)
    const differences = texts.filter((text, at) => {
      const mine = ours(() => SpiffeId.parse(text))
      const said = mine && { text: mine.toString(), trustDomain: mine.trustDomain.name, path: mine.path }
      return JSON.stringify(said, keyOrder) !== JSON.stringify(theirs[at], keyOrder)
    })
    expect([...new Set(differences)].sort()).toEqual([...deviations.keys()].sort())
    for (const text of deviations.keys())
      expect(
        ours(() => SpiffeId.parse(text)),
        text.slice(0, 40),
      ).toBeNull()
  })

  test('so has every trust domain name', async () => {
    const texts = trustDomainTexts.map(([, text]) => text)
    const theirs = await go.ask<(string | null)[]>('read trust domains', texts.map(base64))
    const differences = texts.filter((text, at) => ours(() => TrustDomain.parse(text).name) !== theirs[at])
    expect(differences.sort()).toEqual([...domainDeviations.keys()].sort())
  })

  for (const segments of [['a', 'b'], [], [''], ['a/b'], ['..'], ['a', '.b.'], ['ü'], ['%41']]) {
    test(`built of ${JSON.stringify(segments)} they are the same`, async () => {
      const mine = ours(() => SpiffeId.fromSegments(trustDomain, ...segments).toString())
      const theirs = go.ask<string>('build id', { trustDomain: 'example.org', segments })
      if (mine === null) await expect(theirs).rejects.toThrow()
      else expect(await theirs).toBe(mine)
    })
  }
})

const keyOrder = ['text', 'trustDomain', 'path']

interface GoSvid {
  id: string
  serial: string
  certificates: string
  key: string
  certificatesPem: string
  keyPem: string
}

describe('X509-SVIDs', () => {
  for (const kind of kinds) {
    test(`those of Go (${kind}) are read in both forms, proved and revoked by us, and written the same`, async () => {
      const minted = await go.ask<GoSvid & { bundle: string; bundlePem: string; crl: string }>('mint x509', {
        id,
        kind,
      })
      const svid = X509Svid.parse(bytesOf(minted.certificates), bytesOf(minted.key))
      expect(svid.id.toString()).toBe(id)
      expect(BigInt(`0x${svid.serialNumber}`)).toBe(BigInt(`0x${minted.serial}`))
      const [certificatesPem, keyPem] = [minted.certificatesPem, minted.keyPem].map((pem) => bytesOf(pem).toString())
      expect(X509Svid.parsePem(certificatesPem!, keyPem!).equals(svid)).toBe(true)
      expect(svid.certificatesPem()).toBe(certificatesPem)
      expect(base64(svid.certificatesDer())).toBe(minted.certificates)

      const bundle = X509Bundle.parse(trustDomain, bytesOf(minted.bundle))
      expect(X509Bundle.parsePem(trustDomain, bytesOf(minted.bundlePem).toString()).equals(bundle)).toBe(true)
      expect(bundle.toPem()).toBe(bytesOf(minted.bundlePem).toString())
      const chain = svid.certificates.map(({ der }) => der)
      expect(verifyX509Svid(chain, new X509BundleSet([bundle])).path).toHaveLength(3)
      const listed = X509Bundle.fromAuthorities(trustDomain, bundle.authorities, [bytesOf(minted.crl)])
      expect(listed.crlFaults()).toEqual([])
      expect(() => verifyX509Svid(chain, new X509BundleSet([listed]))).toThrow(
        expect.objectContaining({ code: 'ERR_X509_SVID_REVOKED' }),
      )
    })

    test(`ours (${kind}) are read in both forms, proved by go-spiffe, and written the same`, async () => {
      const td = new TestTrustDomain('example.org', { root: { keyType: kind } })
      const middle = td.intermediate({ keyType: kind })
      const leaf = td.leaf({ keyType: kind, names: { uris: [id] } }, middle)
      const key = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
      const svid = X509Svid.parse(Buffer.concat([leaf.der, middle.der]), key)
      const der = { certificates: base64(svid.certificatesDer()), key: base64(svid.privateKeyDer()) }
      const pem = { certificates: base64(svid.certificatesPem()), key: base64(svid.privateKeyPem()), pem: true }
      for (const input of [der, pem]) {
        const read = await go.ask<GoSvid>('read x509', input)
        expect(read).toMatchObject({ id, certificates: der.certificates, certificatesPem: pem.certificates })
        expect(X509Svid.parse(bytesOf(read.certificates), bytesOf(read.key)).equals(svid)).toBe(true)
      }
      const chain = svid.certificates.map((certificate) => base64(certificate.der))
      const asked = (bundle: X509Bundle) => ({
        chain,
        bundles: { 'example.org': base64(bundle.toDer()) },
        now: Date.now(),
      })
      expect(await go.ask('verify x509', asked(td.bundle()))).toBe(id)
      expect(await go.takes('verify x509', asked(new TestTrustDomain('example.org').bundle()))).toBe(false)
    })
  }
})

describe('JWT-SVIDs', () => {
  const algorithms = [
    ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((alg) => [alg, 'rsa-2048'] as const),
    ['ES256', 'ec-p256'],
    ['ES384', 'ec-p384'],
    ['ES512', 'ec-p521'],
  ] as const
  for (const [alg, kind] of algorithms) {
    test(`those of go-jose (${alg}) are proved by us`, async () => {
      const minted = await go.ask<{ token: string; jwtBundle: string; bundle: string }>('mint jwt', {
        id,
        kind,
        alg,
        audience: ['a', 'b'],
      })
      // What the Workload API of SPIRE sends, and what a bundle endpoint publishes.
      const sent = JwtBundle.parse(trustDomain, minted.jwtBundle)
      const published = SpiffeBundle.parse(trustDomain, minted.bundle)
      expect([published.skipped, published.jwtBundle.equals(sent)]).toEqual([[], true])
      const bundles = new JwtBundleSet([sent])
      const proved = await verifyJwtSvid(minted.token, bundles, { audience: 'b' })
      expect([proved.id.toString(), proved.audience]).toEqual([id, ['a', 'b']])
      await expect(verifyJwtSvid(minted.token, bundles, { audience: 'c' })).rejects.toMatchObject({
        code: 'ERR_JWT_SVID_AUDIENCE',
      })
    })

    test(`ours (${alg}) are proved by go-spiffe`, async () => {
      const td = new TestTrustDomain('example.org')
      const { publicKey, privateKey } = makeTestKeys(kind)
      const token = td.token({ header: { alg, typ: 'JWT' }, claims: { sub: id, aud: ['a', 'b'] }, privateKey })
      const bundle = JSON.stringify(td.jwtBundle([{ keyId: 'k256', publicKey }]))
      const asked = (audience: string) => ({ token, audience: [audience], bundles: { 'example.org': bundle } })
      const svid = await go.ask('validate jwt', asked('a'))
      expect(svid).toMatchObject({ id, audience: ['a', 'b'] })
      expect(await go.takes('validate jwt', asked('c'))).toBe(false)
    })
  }
})

describe('bundle documents', () => {
  const roots = kinds.map((keyType) => new TestTrustDomain('example.org', { root: { keyType } }).root)
  const keys = (['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const).map((keyId) => ({
    keyId,
    publicKey: makeTestKeys(keyId).publicKey,
  }))
  const wholeParts: SpiffeBundleParts = {
    trustDomain,
    x509Authorities: roots.map(({ certificate }) => certificate),
    jwtAuthorities: keys,
    sequenceNumber: 18_446_744_073_709_551_615n,
    refreshHintMs: 90_000,
  }
  const whole = SpiffeBundle.from(wholeParts)
  const parts = {
    trustDomain: 'example.org',
    x509: roots.map(({ der }) => base64(der)),
    jwt: Object.fromEntries(
      keys.map(({ keyId, publicKey }) => [keyId, base64(publicKey.export({ type: 'spki', format: 'der' }))]),
    ),
    sequence: '18446744073709551615',
    refreshHintMs: 90_000,
  }
  interface GoBundle {
    x509: string[]
    jwt: Record<string, string>
    document: string
  }
  const same = (a: string, b: string) =>
    go.ask<boolean>('compare bundles', {
      a: { trustDomain: 'example.org', document: a },
      b: { trustDomain: 'example.org', document: b },
    })

  const changed = (change: Partial<SpiffeBundleParts>) => SpiffeBundle.from({ ...wholeParts, ...change })

  test('ours is read by go-spiffe with every authority, sequence number and hint', async () => {
    const asked = { trustDomain: 'example.org', document: whole.marshal() }
    const { document, ...read } = await go.ask<GoBundle>('read bundle', asked)
    expect({ trustDomain: 'example.org', ...read }).toEqual(parts)
    expect(SpiffeBundle.parse(trustDomain, document).equals(whole)).toBe(true)
    expect(await same(document, whole.marshal())).toBe(true)
  })

  test('that of go-spiffe is read by us, and both of us call it equal to ours', async () => {
    const document = await go.ask<string>('write bundle', parts)
    const read = SpiffeBundle.parse(trustDomain, document)
    expect(read.skipped).toEqual([])
    expect(read.equals(whole)).toBe(true)
    expect(await same(document, read.marshal())).toBe(true)
    const { authorities } = read.jwtBundle
    const spki = Object.values(parts.jwt).map((key) =>
      createPublicKey({ key: bytesOf(key), type: 'spki', format: 'der' }),
    )
    expect(authorities.every(({ publicKey }) => spki.some((key) => key.equals(publicKey)))).toBe(true)
  })

  for (const [what, change] of [
    ['another sequence number', { sequenceNumber: 5n }],
    ['no sequence number', { sequenceNumber: undefined }],
    ['another hint', { refreshHintMs: 60_000 }],
    ['no hint', { refreshHintMs: undefined }],
    ['one authority less', { x509Authorities: whole.x509Bundle.authorities.slice(1) }],
    ['one JWT key less', { jwtAuthorities: keys.slice(1) }],
    ['a JWT key under another ID', { jwtAuthorities: [...keys.slice(1), { ...keys[0]!, keyId: 'other' }] }],
    ['its JWT keys in another order', { jwtAuthorities: [...keys].reverse() }],
  ] as const) {
    const isSame = what.endsWith('in another order')
    test(`with ${what} it is ${isSame ? 'the same' : 'another'} bundle for both of us`, async () => {
      const other = changed(change)
      expect([other.equals(whole), await same(other.marshal(), whole.marshal())]).toEqual([isSame, isSame])
    })
  }

  test('with its X.509 authorities in another order it is the same bundle for us, and another for go-spiffe', async () => {
    // RFC 7517 §5 gives the order of a set no meaning.
    const other = changed({ x509Authorities: [...whole.x509Bundle.authorities].reverse() })
    expect([other.equals(whole), await same(other.marshal(), whole.marshal())]).toEqual([true, false])
  })

  test('JWK Sets of the Workload API are read the same, ours with `use` and theirs without', async () => {
    const ours = { trustDomain: 'example.org', document: JSON.stringify(whole.jwtBundle) }
    expect(await go.ask('read jwt bundle', ours)).toEqual(parts.jwt)
    const { jwtBundle } = await go.ask<{ jwtBundle: string }>('mint jwt', {
      id,
      kind: 'ec-p256',
      alg: 'ES256',
      audience: ['a'],
    })
    expect(jwtBundle).not.toContain('"use"')
    expect(JwtBundle.parse(trustDomain, jwtBundle).authorities.map(({ keyId }) => keyId)).toEqual(['go'])
  })

  test('an empty bundle of ours is one that go-spiffe reads; its own is one that nobody reads', async () => {
    const empty = SpiffeBundle.from({ trustDomain })
    expect(await go.takes('read bundle', { trustDomain: 'example.org', document: empty.marshal() })).toBe(true)
    // It writes `"keys":null`, which §4.1.3 forbids, and refuses that itself.
    const theirs = await go.ask<string>('write bundle', { trustDomain: 'example.org' })
    expect(await go.takes('read bundle', { trustDomain: 'example.org', document: theirs })).toBe(false)
    expect(ours(() => SpiffeBundle.parse(trustDomain, theirs))).toBeNull()
  })
})
