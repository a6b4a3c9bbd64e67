import { expect } from 'vitest'
import { JwtBundle, SpiffeBundle, SpiffeBundleMap, X509BundleSet } from '../../src/bundle/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'
import { count, jwtEntry, parse, publicJwk, without, x25519Jwk, x509Entry } from './bundle-fixtures.js'
import { bundleSection } from './bundle-rows.js'
import { now, other, td } from './fixtures.js'
import { testSection } from './row.js'

const malformed = 'ERR_BUNDLE_MALFORMED'
const good = { keys: [x509Entry(), jwtEntry()] }

/** Verifies a leaf of td with what this document holds. */
function verifyWith(document: unknown): void {
  verifyX509Svid([td.leaf().der], new X509BundleSet([parse(document).x509Bundle]), { now })
}

testSection(bundleSection, (row) => {
  /** An entry that is left out while the good one beside it stays. */
  const leavesOut = (id: string, what: string, entry: unknown) =>
    row(id).denies(what, () => {
      expect(count(entry, x509Entry())).toEqual({ x509: 1, jwt: 0, skipped: 1 })
      return count(entry).skipped === 0
    })
  const takes = (id: string, what: string, document: unknown) => row(id).accepts(what, () => void parse(document))
  const refuses = (id: string, what: string, document: unknown) =>
    row(id).refuses(what, malformed, () => parse(document))

  takes('X509-40', 'an entry with a certificate', good)
  leavesOut('X509-40', 'an entry without x5c', without(x509Entry(other.root), 'x5c'))
  leavesOut('X509-40', 'an entry with an empty x5c', x509Entry(other.root, { x5c: [] }))
  row('X509-41')
    .accepts('the first of two certificates', () => {
      const x5c = [td.root, other.root].map(({ der }) => Buffer.from(der).toString('base64'))
      const { authorities } = parse({ keys: [x509Entry(td.root, { x5c })] }).x509Bundle
      expect(authorities.map(({ serialNumber }) => serialNumber)).toEqual([td.root.certificate.serialNumber])
    })
    .denies('the second one', () => {
      const x5c = ['AAAA', Buffer.from(td.root.der).toString('base64')]
      return count(x509Entry(td.root, { x5c })).x509 > 0
    })
  row('X509-42')
    .accepts('two entries as two authorities', () => {
      expect(count(x509Entry(td.root), x509Entry(other.root)).x509).toBe(2)
    })
    .refuses('an X509-SVID where only JWT keys are', 'ERR_X509_CHAIN_UNTRUSTED', () =>
      verifyWith({ keys: [jwtEntry()] }),
    )
  row('X509-39')
    .accepts('an authority that another one signed', () => {
      expect(count(x509Entry(td.intermediate())).x509).toBe(1)
    })
    .denies('a leaf as an authority', () => count(x509Entry(td.leaf())).x509 > 0)

  row('BUNDLE-01')
    .accepts('the trust domain of the caller', () => {
      const named = SpiffeBundle.parse(TrustDomain.parse('third'), JSON.stringify(good))
      expect([named.trustDomain.name, named.x509Bundle.trustDomain.name]).toEqual(['third', 'third'])
    })
    .denies('the same document as the same bundle under another name', () =>
      SpiffeBundle.parse(TrustDomain.parse('third'), JSON.stringify(good)).equals(parse(good)),
    )
  row('BUNDLE-02')
    .accepts('an SVID of the trust domain of the bundle', () => verifyWith(good))
    .refuses('an SVID of another one', 'ERR_BUNDLE_NOT_FOUND', () =>
      verifyX509Svid([other.leaf().der], new X509BundleSet([parse(good).x509Bundle]), { now }),
    )
  takes('BUNDLE-03', 'a JSON object', good)
  row('BUNDLE-03').accepts(
    'its bytes',
    () => void SpiffeBundle.parse(td.trustDomain, Buffer.from(JSON.stringify(good))),
  )
  refuses('BUNDLE-03', 'an array', [])
  refuses('BUNDLE-03', 'a word', 'hello')
  refuses('BUNDLE-03', 'nothing', '')
  refuses('BUNDLE-03', 'something behind it', `${JSON.stringify(good)}x`)
  refuses('BUNDLE-03', 'a byte order mark', `\ufeff${JSON.stringify(good)}`)
  row('BUNDLE-03').refuses('bytes that are not UTF-8', malformed, () =>
    SpiffeBundle.parse(td.trustDomain, Buffer.from('{"keys":[],"a":"\xff"}', 'latin1')),
  )
  takes('BUNDLE-04', 'a member that is not known', { ...good, x_foo: 1 })
  refuses('BUNDLE-04', 'a member that is not known, twice', '{"keys":[],"x":1,"x":2}')
  takes('BUNDLE-05', 'keys alone', { keys: [] })
  refuses('BUNDLE-05', 'everything but keys', { spiffe_sequence: 1, spiffe_refresh_hint: 60 })

  const sequence = (text: string) => parse(`{"keys":[],"spiffe_sequence":${text}}`).sequenceNumber
  row('BUNDLE-08')
    .accepts('integers beyond 2^53', () => {
      expect(sequence('9007199254740993')).toBe(9007199254740993n)
      expect(sequence('18446744073709551615')).toBe(18446744073709551615n)
      const text = parse('{"keys":[],"spiffe_sequence":9007199254740993}').marshal()
      expect(parse(text).sequenceNumber).toBe(9007199254740993n)
    })
    .accepts('null as none', () => {
      expect(sequence('null')).toBeUndefined()
    })
  for (const bad of ['1.5', '1.0', '1e3', '"1"', '-1', 'true', '[]']) {
    row('BUNDLE-08').refuses(`the sequence number ${bad}`, malformed, () => sequence(bad))
  }
  const hint = (text: string) => parse(`{"keys":[],"spiffe_refresh_hint":${text}}`).refreshHintMs
  row('BUNDLE-11')
    .accepts('a hint in seconds', () => {
      expect(hint('60')).toBe(60_000)
    })
    .denies('a hint of no time', () => hint('0') === 0)
    .denies('a negative hint', () => Number(hint('-1')) < 0)
    .denies('a hint of centuries', () => Number(hint('9223372036854775807')) > 30 * 24 * 3_600_000)
    .refuses('a hint that is no integer', malformed, () => hint('1.5'))

  const marshal = (refreshHintMs?: number) =>
    SpiffeBundle.from({
      trustDomain: td.trustDomain,
      x509Authorities: [td.root.certificate],
      jwtAuthorities: td.jwtBundle().authorities,
      refreshHintMs,
    }).marshal()
  const entries = () => (JSON.parse(marshal()) as { keys: Record<string, unknown>[] }).keys
  row('BUNDLE-10')
    .accepts('a hint of a second and a half as two seconds', () => {
      expect(JSON.parse(marshal(1500))).toMatchObject({ spiffe_refresh_hint: 2 })
    })
    .denies('the name without the prefix', () => 'refresh_hint' in (JSON.parse(marshal(1500)) as object))
    .denies(
      'a negative hint',
      () => (JSON.parse(marshal(-1)) as { spiffe_refresh_hint: number }).spiffe_refresh_hint < 0,
    )
  row('BUNDLE-16')
    .accepts('kty in what is marshalled', () => expect(entries().map(({ kty }) => kty)).toEqual(['EC', 'EC']))
    .denies('an entry without it', () => count(without(entries()[0] ?? {}, 'kty')).x509 > 0)
  row('BUNDLE-18')
    .accepts('use in what is marshalled', () =>
      expect(entries().map(({ use }) => use)).toEqual(['x509-svid', 'jwt-svid']),
    )
    .denies('an entry without it', () => count(without(entries()[1] ?? {}, 'use')).jwt > 0)
  row('X509-36')
    .accepts('an entry for each authority', () => {
      const two = SpiffeBundle.from({
        trustDomain: td.trustDomain,
        x509Authorities: [td.root.certificate, td.intermediate().certificate],
      })
      const { keys } = JSON.parse(two.marshal()) as { keys: { use: string; x5c: string[] }[] }
      expect(keys.map(({ use, x5c }) => [use, x5c.length])).toEqual([
        ['x509-svid', 1],
        ['x509-svid', 1],
      ])
    })
    .denies('an entry for two', () => {
      const x5c = [td.root, td.intermediate()].map(({ der }) => Buffer.from(der).toString('base64'))
      return count(x509Entry(td.root, { x5c })).x509 > 1
    })
  row('X509-37')
    .accepts('an entry with a kid', () => {
      expect(count(x509Entry(td.root, { kid: '1' })).x509).toBe(1)
    })
    .denies('a kid in what is marshalled', () => 'kid' in (entries()[0] ?? {}))
    .denies('the kid of an entry that was read, marshalled again', () =>
      /"kid"/.test(parse({ keys: [x509Entry(td.root, { kid: '1' })] }).marshal()),
    )
  row('X509-38')
    .accepts('a certificate in standard base64, and its key', () => {
      const [{ x5c, ...key } = { x5c: '' }] = entries()
      expect(x5c).toEqual([Buffer.from(td.root.der).toString('base64')])
      expect(key).toMatchObject(td.root.keys.publicKey.export({ format: 'jwk' }))
    })
    .denies('PEM', () => count(x509Entry(td.root, { x5c: [td.root.certificate.toPem()] })).x509 > 0)
    .denies('base64url', () => {
      const url = Buffer.from(td.root.der).toString('base64url')
      return count(x509Entry(td.root, { x5c: [url] })).x509 > 0
    })
    .denies('the key of another certificate', () => {
      const x5c = [Buffer.from(other.root.der).toString('base64')]
      return count(x509Entry(td.root, { x5c })).x509 > 0
    })
  row('BUNDLE-21')
    .accepts('the members that are needed', () => {
      expect(entries().map((entry) => Object.keys(entry).sort().join())).toEqual([
        'crv,kty,use,x,x5c,y',
        'crv,kid,kty,use,x,y',
      ])
    })
    .denies('any other', () => /"(alg|key_ops|x5t|ext)"/.test(marshal()))

  takes('BUNDLE-12', 'an array', { keys: [] })
  row('BUNDLE-12').accepts('what an empty bundle is marshalled to', () => {
    expect(SpiffeBundle.from({ trustDomain: td.trustDomain }).marshal()).toBe('{"keys":[]}')
  })
  refuses('BUNDLE-12', 'nothing', {})
  refuses('BUNDLE-12', 'null', { keys: null })
  refuses('BUNDLE-12', 'an object', { keys: {} })
  refuses('BUNDLE-12', 'another case of the name', { KEYS: [] })
  refuses('BUNDLE-12', 'two of them', '{"keys":[],"keys":[]}')
  takes('BUNDLE-13', 'known entries', good)
  leavesOut('BUNDLE-13', 'an unknown key type', jwtEntry({ kty: 'XYZ' }))
  leavesOut('BUNDLE-13', 'an unknown use', jwtEntry({ use: 'future' }))
  row('BUNDLE-14')
    .accepts('an empty bundle', () => {
      expect(count()).toEqual({ x509: 0, jwt: 0, skipped: 0 })
    })
    .denies('it as equal to the one before', () => parse({ keys: [] }).equals(parse(good)))
  row('BUNDLE-15')
    .accepts('an SVID while the authority is there', () => verifyWith(good))
    .refuses('it when the bundle is empty', 'ERR_X509_CHAIN_UNTRUSTED', () => verifyWith({ keys: [] }))
    .refuses('it when nothing usable is left', 'ERR_X509_CHAIN_UNTRUSTED', () =>
      verifyWith({ keys: [x509Entry(td.root, { use: 'sig' })] }),
    )
  takes('BUNDLE-17', 'the keys that are known', {
    keys: (['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const).map((type) =>
      jwtEntry({ ...publicJwk(type), kid: type }),
    ),
  })
  row('BUNDLE-17').accepts('all of them as authorities', () => {
    const types = ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048'] as const
    expect(count(...types.map((kid) => ({ use: 'jwt-svid', kid, ...publicJwk(kid) }))).jwt).toBe(4)
  })
  leavesOut('BUNDLE-17', 'X25519', { use: 'jwt-svid', kid: 'z', ...x25519Jwk() })
  leavesOut('BUNDLE-17', 'secp256k1', { use: 'jwt-svid', kid: 'z', ...publicJwk('ec-secp256k1') })
  leavesOut('BUNDLE-17', 'RSA of 1024 bits', { use: 'jwt-svid', kid: 'z', ...publicJwk('rsa-1024') })
  leavesOut('BUNDLE-17', 'no kty', without(jwtEntry(), 'kty'))
  leavesOut('BUNDLE-17', 'no y', without(jwtEntry(), 'y'))
  leavesOut('BUNDLE-17', 'a point that is not on the curve', jwtEntry({ x: Buffer.alloc(32, 1).toString('base64url') }))
  leavesOut('BUNDLE-17', 'a coordinate that is too short', jwtEntry({ x: 'AAAA' }))
  leavesOut('BUNDLE-17', 'standard base64', jwtEntry({ x: `${'+/'.repeat(21)}A=` }))
  takes('BUNDLE-19', 'a known use', good)
  leavesOut('BUNDLE-19', 'no use', without(jwtEntry(), 'use'))
  leavesOut('BUNDLE-19', 'the use sig', jwtEntry({ use: 'sig' }))
  leavesOut('BUNDLE-19', 'a use that is a number', jwtEntry({ use: 5 }))
  leavesOut('BUNDLE-19', 'a future use with a key that cannot be read', jwtEntry({ use: 'future', x: '!' }))
  row('BUNDLE-19').accepts('no use in the JWT bundle of the Workload API', () => {
    const document = JSON.stringify({
      keys: [without(jwtEntry(), 'use'), x509Entry(), jwtEntry({ kid: 'b', use: 'sig' })],
    })
    expect(JwtBundle.parse(td.trustDomain, document).authorities.map(({ keyId }) => keyId)).toEqual(['k1'])
  })
  takes('BUNDLE-20', 'lower case', good)
  leavesOut('BUNDLE-20', 'JWT-SVID', jwtEntry({ use: 'JWT-SVID' }))
  leavesOut('BUNDLE-20', 'x509-SVID', x509Entry(other.root, { use: 'x509-SVID' }))
  row('BUNDLE-22')
    .accepts('a key of each kind for its own', () => {
      expect(count(x509Entry(), jwtEntry())).toEqual({ x509: 1, jwt: 1, skipped: 0 })
    })
    .denies('an x509-svid key with a kid as one for tokens', () => count(x509Entry(td.root, { kid: 'k1' })).jwt > 0)
  takes('BUNDLE-24', 'public keys', good)
  leavesOut('BUNDLE-24', 'an EC key with its private half', jwtEntry({ d: 'AAAA' }))
  leavesOut('BUNDLE-24', 'a symmetric key', { use: 'jwt-svid', kid: 'z', kty: 'oct', k: 'AAAA' })

  const map = (document: unknown) =>
    SpiffeBundleMap.parse(typeof document === 'string' ? document : JSON.stringify(document))
  row('BUNDLE-25')
    .accepts('an empty map', () => {
      expect(map({ trust_domains: {} }).size).toBe(0)
    })
    .refuses('no map', malformed, () => map({}))
    .refuses('an array', malformed, () => map({ trust_domains: [] }))
    .refuses('text that is no JSON', malformed, () => map('{'))
  row('BUNDLE-26')
    .accepts('trust domain names, whatever they look like', () => {
      const names = ['example.com', '__proto__', 'constructor']
      const parsed = map(`{"trust_domains":{${names.map((name) => `"${name}":{"keys":[]}`).join(',')}}}`)
      expect([...parsed].map(({ trustDomain }) => trustDomain.name)).toEqual(names)
    })
    .refuses('a SPIFFE ID', malformed, () => map({ trust_domains: { 'spiffe://example.com': { keys: [] } } }))
    .refuses('a name that is none', malformed, () => map({ trust_domains: { 'Example.com': { keys: [] } } }))
  row('BUNDLE-28')
    .accepts('each trust domain once', () => {
      expect(
        map({ trust_domains: { td: good, other: good } })
          .get(td.trustDomain)
          ?.equals(parse(good)),
      ).toBe(true)
    })
    .refuses('one of them twice', malformed, () => map('{"trust_domains":{"td":{"keys":[]},"td":{"keys":[]}}}'))
    .refuses('one of them twice, once escaped', malformed, () =>
      map('{"trust_domains":{"td":{"keys":[]},"\\u0074d":{"keys":[]}}}'),
    )
  const hinted = `{"trust_domains":{"td":{"keys":[],"spiffe_sequence":7,"spiffe_refresh_hint":60}}}`
  row('BUNDLE-30')
    .accepts('a bundle with a hint, and the rest of it', () => {
      expect(map(hinted).get(td.trustDomain)?.sequenceNumber).toBe(7n)
    })
    .accepts('a hint that cannot be read, since nobody reads it', () => {
      expect(map(hinted.replace('60', '1.5')).size).toBe(1)
    })
    .denies('its hint', () => map(hinted).get(td.trustDomain)?.refreshHintMs)

  row('BUNDLE-31')
    .accepts('a map of which everything can be read', () => {
      expect(map({ trust_domains: { td: good } }).size).toBe(1)
    })
    .refuses('a map of which one document cannot', malformed, () => map({ trust_domains: { td: good, other: {} } }))
    .denies(
      'a trust domain that the next map lacks',
      () => map({ trust_domains: {} }).get(td.trustDomain) !== undefined,
    )
})
