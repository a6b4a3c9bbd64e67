import { describe, expect, test } from 'vitest'
import { JwtBundle, SpiffeBundle, SpiffeBundleMap } from '../../src/bundle/index.js'
import { derInteger, makeTestKeys } from '../../src/dev/testing/index.js'
import { count, jwtEntry, parse, publicJwk, without, x25519Jwk, x509Entry } from './bundle-fixtures.js'
import { other, td } from './fixtures.js'

const malformed = expect.objectContaining({ code: 'ERR_BUNDLE_MALFORMED' }) as Error
const X = x509Entry()
const J = jwtEntry()
const both = { x509: 1, jwt: 1, skipped: 0 }
const onlyX = { x509: 1, jwt: 0, skipped: 1 }
const onlyJ = { x509: 0, jwt: 1, skipped: 1 }

describe('bundle documents', () => {
  const base64 = Buffer.from(td.root.der).toString('base64')
  for (const [id, what, keys, expected] of [
    ['G-001', 'one entry of each kind', [X, J], both],
    ['G-004', 'no entries', [], { x509: 0, jwt: 0, skipped: 0 }],
    ['G-014', 'an unknown key type', [X, { kty: 'XYZ', use: 'jwt-svid', kid: 'z' }], onlyX],
    ['G-016', 'X25519', [X, { use: 'jwt-svid', kid: 'z', ...x25519Jwk() }], onlyX],
    ['G-017', 'secp256k1', [X, { use: 'jwt-svid', kid: 'z', ...publicJwk('ec-secp256k1') }], onlyX],
    ['G-019', 'Ed25519 for tokens', [X, { use: 'jwt-svid', kid: 'z', ...publicJwk('ed25519') }], onlyX],
    ['G-020', 'a symmetric key', [X, { use: 'jwt-svid', kid: 'z', kty: 'oct', k: 'AAAA' }], onlyX],
    ['G-022', 'no use', [X, without(J, 'use')], onlyX],
    ['G-023', 'the use sig', [X, jwtEntry({ use: 'sig' })], onlyX],
    ['G-025', 'another case of the use', [x509Entry(td.root, { use: 'X509-SVID' }), J], onlyJ],
    ['G-026', 'a future use and an unreadable key', [X, jwtEntry({ use: 'future', x: '%' })], onlyX],
    ['G-028', 'no x5c', [without(X, 'x5c'), J], onlyJ],
    ['G-029', 'an empty x5c', [x509Entry(td.root, { x5c: [] }), J], onlyJ],
    ['G-031', 'x5c that is text', [x509Entry(td.root, { x5c: base64 }), J], onlyJ],
    ['G-032', 'x5c that is not base64', [x509Entry(td.root, { x5c: ['!!!'] }), J], onlyJ],
    [
      'G-034',
      'x5c with line breaks',
      [x509Entry(td.root, { x5c: [base64.replace(/.{64}/g, (line) => `${line}\r\n`)] }), J],
      both,
    ],
    ['G-035', 'x5c that is no certificate', [x509Entry(td.root, { x5c: ['AAAA'] }), J], onlyJ],
    ['G-037', 'the certificate of another key', [{ ...x509Entry(other.root), x5c: [base64] }, J], onlyJ],
    ['G-038', 'no key parameters', [without(X, 'x', 'y'), J], onlyJ],
    ['G-040', 'an x509-svid entry with a kid', [x509Entry(td.root, { kid: 'z' }), J], both],
    ['G-041', 'an entry twice', [X, X, J, J], both],
    ['G-043', 'a jwt-svid entry without kid', [X, without(J, 'kid')], onlyX],
    ['G-043', 'a jwt-svid entry with an empty kid', [X, jwtEntry({ kid: '' })], onlyX],
    ['G-044', 'two keys with one kid', [J, jwtEntry(publicJwk('ec-p256'))], { x509: 0, jwt: 2, skipped: 0 }],
    ['G-046', 'entries that are no objects', [5, null, 'x', [], X], { x509: 1, jwt: 0, skipped: 4 }],
    ['G-047', 'no x509-svid entry', [J], { x509: 0, jwt: 1, skipped: 0 }],
  ] as const) {
    test(`${id} ${what}`, () => expect(count(...keys)).toEqual(expected))
  }
  for (const [id, what, document] of [
    ['G-005', 'no keys', '{}'],
    ['G-005', 'only metadata', '{"spiffe_sequence":1}'],
    ['G-007', 'keys that are an object', '{"keys":{}}'],
    ['G-008', 'another case of keys', JSON.stringify({ KEYS: [X] })],
    ['G-010', 'a byte order mark', '\ufeff{"keys":[]}'],
    ['G-011', 'something behind it', '{"keys":[]}x'],
    ['G-013', 'keys twice', JSON.stringify({ keys: [X] }).replace(/\}$/, ',"keys":[]}')],
    ['G-053', 'a negative sequence number', '{"keys":[],"spiffe_sequence":-1}'],
    ['G-053', 'a sequence number with a fraction', '{"keys":[],"spiffe_sequence":1.5}'],
    ['G-053', 'a sequence number that is text', '{"keys":[],"spiffe_sequence":"1"}'],
  ] as const) {
    test(`${id} ${what} refuses the document`, () => expect(() => parse(document)).toThrow(malformed))
  }
  for (const [id, members, sequence, hint] of [
    ['G-002', '"spiffe_sequence":1,"spiffe_refresh_hint":60', 1n, 60_000],
    ['G-049', '"spiffe_sequence":0', 0n, undefined],
    ['G-050', '"spiffe_sequence":9007199254740993', 9007199254740993n, undefined],
    ['G-052', '"spiffe_sequence":18446744073709551616', 18446744073709551616n, undefined],
    ['G-055', '"spiffe_sequence":null', undefined, undefined],
    ['G-056', '"spiffe_refresh_hint":0', undefined, 1000],
    ['G-056', '"spiffe_refresh_hint":-1', undefined, 1000],
    ['G-058', '"spiffe_refresh_hint":9223372036854775807', undefined, 2_592_000_000],
    ['G-059', '"refresh_hint":60', undefined, undefined],
  ] as const) {
    test(`${id} ${members}`, () => {
      const bundle = parse(`{"keys":[],${members}}`)
      expect([bundle.sequenceNumber, bundle.refreshHintMs]).toEqual([sequence, hint])
    })
  }
  test('G-061 what is marshalled reads back as equal', () => {
    const bundle = parse({ keys: [X, J], spiffe_sequence: 7, spiffe_refresh_hint: 60 })
    expect(parse(bundle.marshal()).equals(bundle)).toBe(true)
    expect(bundle.equals(parse({ spiffe_refresh_hint: 60, spiffe_sequence: 7, keys: [J, X] }))).toBe(true)
    expect(bundle.equals(parse({ keys: [X, J], spiffe_sequence: 8, spiffe_refresh_hint: 60 }))).toBe(false)
    expect(bundle.equals(parse({ keys: [X], spiffe_sequence: 7, spiffe_refresh_hint: 60 }))).toBe(false)
    const entries = (JSON.parse(bundle.marshal()) as { keys: Record<string, unknown>[] }).keys
    expect(entries.map((entry) => Object.keys(entry).sort().join())).toEqual([
      'crv,kty,use,x,x5c,y',
      'crv,kid,kty,use,x,y',
    ])
  })
  test('G-062 a hint is marshalled in whole seconds, rounded up', () => {
    expect(SpiffeBundle.from({ trustDomain: td.trustDomain, refreshHintMs: 1500 }).marshal()).toContain(
      '"spiffe_refresh_hint":2',
    )
  })
  test('an RSA key whose exponent is one is left out', () => {
    const { n } = makeTestKeys('rsa-2048').publicKey.export({ format: 'jwk' })
    const e = derInteger(1).subarray(2).toString('base64url')
    expect(count({ use: 'jwt-svid', kid: 'z', kty: 'RSA', n, e }, X)).toEqual(onlyX)
  })
})

describe('JWT bundles of the Workload API', () => {
  const keyIds = (...keys: readonly unknown[]) =>
    JwtBundle.parse(td.trustDomain, JSON.stringify({ keys })).authorities.map(({ keyId }) => keyId)
  for (const [id, what, entry, taken] of [
    ['G-101', 'no use', without(J, 'use'), true],
    ['G-103', 'the use sig', jwtEntry({ use: 'sig' }), false],
    ['G-104', 'the use x509-svid', jwtEntry({ use: 'x509-svid' }), false],
    ['G-104', 'the use wit-svid', jwtEntry({ use: 'wit-svid' }), false],
    ['G-106', 'an unknown key type', jwtEntry({ kty: 'XYZ' }), false],
  ] as const) {
    test(`${id} ${what} is ${taken ? 'taken' : 'left out'}`, () => {
      expect(keyIds(entry, jwtEntry({ kid: 'good' }))).toEqual(taken ? ['k1', 'good'] : ['good'])
    })
  }
  test('G-107 no keys refuse the document', () => {
    expect(() => JwtBundle.parse(td.trustDomain, '{}')).toThrow(malformed)
  })
  test('G-044 every key with the ID is a candidate, and every key when none is named', () => {
    const bundle = parse({ keys: [J, jwtEntry(publicJwk('ec-p256')), jwtEntry({ kid: 'b' })] }).jwtBundle
    expect([bundle.find('k1').length, bundle.find('b').length, bundle.find('c').length]).toEqual([2, 1, 0])
    expect(bundle.find(undefined)).toHaveLength(3)
  })
})

describe('bundle maps', () => {
  test('G-202 an empty map is accepted', () => expect(SpiffeBundleMap.parse('{"trust_domains":{}}').size).toBe(0))
  for (const [id, document] of [
    ['G-203', '{}'],
    ['G-205', '{"trust_domains":{"spiffe://example.com":{"keys":[]}}}'],
    ['G-206', '{"trust_domains":{"Example.com":{"keys":[]}}}'],
  ] as const) {
    test(`${id} ${document} is refused`, () => expect(() => SpiffeBundleMap.parse(document)).toThrow(malformed))
  }
  test('G-208 __proto__ is a trust domain like any other', () => {
    const [bundle] = SpiffeBundleMap.parse('{"trust_domains":{"__proto__":{"keys":[]}}}')
    expect(bundle?.trustDomain.name).toBe('__proto__')
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
  })
  test('G-209 a second map knows nothing of the first', () => {
    SpiffeBundleMap.parse('{"trust_domains":{"td":{"keys":[]}}}')
    expect(SpiffeBundleMap.parse('{"trust_domains":{}}').get(td.trustDomain)).toBeUndefined()
  })
})
