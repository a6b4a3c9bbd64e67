import { expect, test } from 'vitest'
import { SpiffeId, TrustDomain } from '../../src/spiffe-id/index.js'

const td = TrustDomain.parse('example.org')

test('an ID and a trust domain are values: printed as text, compared by text, never changed', () => {
  const id = SpiffeId.fromSegments(td, 'ns', 'prod')
  expect(`${id.toString()} in ${td.toString()}`).toBe('spiffe://example.org/ns/prod in example.org')
  expect(JSON.stringify({ id, td })).toBe('{"id":"spiffe://example.org/ns/prod","td":"example.org"}')
  expect([id.path, id.trustDomain.idString]).toEqual(['/ns/prod', 'spiffe://example.org'])
  expect(id.equals(SpiffeId.parse('spiffe://example.org/ns/prod'))).toBe(true)
  expect(() => Object.assign(id, { path: '/admin' })).toThrow(TypeError)
  expect(() => Object.assign(td, { name: 'evil' })).toThrow(TypeError)
})

test('IDs of several trust domains in turn keep their own', () => {
  const texts = ['spiffe://a/1', 'spiffe://b/1', 'spiffe://a/2', 'spiffe://b/2']
  expect(texts.map((text) => SpiffeId.parse(text)).map((id) => id.trustDomain.name)).toEqual(['a', 'b', 'a', 'b'])
})

test('octets are read one by one, so no encoding can make an allowed character of others', () => {
  for (const raw of [[0xc1, 0xa1], [0xe1], [0x61, 0x80], [0xef, 0xbc, 0xa1], [0x00]]) {
    const bytes = Buffer.concat([Buffer.from('spiffe://td/'), Buffer.from(raw)])
    expect(() => SpiffeId.parseBytes(bytes)).toThrow(expect.objectContaining({ code: 'ERR_SPIFFE_ID_INVALID' }))
  }
  expect(SpiffeId.parseBytes(Buffer.from('xspiffe://td/wx').subarray(1, -1)).toString()).toBe('spiffe://td/w')
})

test('a message names the character and its place, and never repeats a control character', () => {
  expect(() => SpiffeId.parse('spiffe://td/a b')).toThrow(/U\+0020 at position 13/)
  expect(() => SpiffeId.parse('spiffe://td/a\u001b[31m')).toThrow(/U\+001B at position 13/)
  expect(() => TrustDomain.parse('a:b')).toThrow(/':' at position 1/)
})
