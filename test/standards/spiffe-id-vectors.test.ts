import { describe, expect, test } from 'vitest'
import { SpiffeId, TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyLeaf, uris } from './fixtures.js'
import { spiffeIdTexts, trustDomainTexts } from './spiffe-id-texts.js'

const badId = expect.objectContaining({ code: 'ERR_SPIFFE_ID_INVALID' }) as Error
const badName = expect.objectContaining({ code: 'ERR_TRUST_DOMAIN_INVALID' }) as Error

describe('SPIFFE ID strings', () => {
  for (const [id, text, good] of spiffeIdTexts) {
    test(`${id} is ${good ? 'accepted' : 'refused'}: ${JSON.stringify(text.slice(0, 60))}`, () => {
      if (good) expect(SpiffeId.parse(text).toString()).toBe(text)
      else expect(() => SpiffeId.parse(text)).toThrow(badId)
    })
  }
  test('A-023 differs from its lower-case twin', () => {
    expect(SpiffeId.parse('spiffe://td/W').equals(SpiffeId.parse('spiffe://td/w'))).toBe(false)
  })
  test('A-065 is refused as the name of a certificate too', () => {
    expect(() => verifyLeaf(uris('spiffe://td/w#'))).toThrow(
      expect.objectContaining({ code: 'ERR_X509_SVID_MALFORMED' }),
    )
  })
  test('A-077 keeps the trailing dot', () => {
    expect(SpiffeId.parse('spiffe://a./w').trustDomain.equals(TrustDomain.parse('a'))).toBe(false)
  })
  const accepted = (make: (char: string) => string) => {
    let chars = ''
    for (let code = 0; code <= 0x2ff; code++) {
      const char = String.fromCharCode(code)
      try {
        SpiffeId.parse(make(char))
        chars += char
      } catch (error) {
        expect(error).toEqual(badId)
      }
    }
    return chars
  }
  test('A-088 every character after the trust domain: a-z 0-9 . - _ and the slash', () => {
    expect(accepted((char) => `spiffe://td${char}x`)).toBe('-./0123456789_abcdefghijklmnopqrstuvwxyz')
  })
  test('A-089 every character in a segment: A-Z a-z 0-9 . - _ and the slash', () => {
    const all = '-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'
    expect(accepted((char) => `spiffe://td/x${char}x`)).toBe(all)
  })
})

describe('builders and matchers', () => {
  const td = TrustDomain.parse('td')
  const base = SpiffeId.parse('spiffe://td/path')
  test('A-101 no segments make the ID of the trust domain', () => {
    expect(SpiffeId.fromSegments(td).toString()).toBe('spiffe://td')
  })
  for (const [id, what, build] of [
    ['A-103', 'an empty segment', () => SpiffeId.fromSegments(td, '')],
    ['A-104', 'a slash alone as a segment', () => SpiffeId.fromSegments(td, '/')],
    ['A-104', 'a leading slash in a segment', () => SpiffeId.fromSegments(td, '/foo')],
    ['A-104', 'a slash within a segment', () => SpiffeId.fromSegments(td, 'a/b')],
    ['A-106', 'a path without its slash', () => SpiffeId.fromPath(td, 'foo')],
    ['A-107', 'a path that is a slash', () => SpiffeId.fromPath(td, '/')],
    ['A-110', 'appending without a slash', () => base.append('foo')],
    ['A-110', 'appending a slash', () => base.append('/')],
    ['A-110', 'appending nothing', () => base.append('')],
    ['A-112', 'building without a trust domain', () => SpiffeId.fromSegments(undefined as unknown as TrustDomain, 'a')],
    ['A-112', 'parsing nothing', () => SpiffeId.parse(undefined as unknown as string)],
  ] as const) {
    test(`${id} ${what} is refused`, () => expect(build).toThrow(badId))
  }
  test('A-109 append adds path, withPath replaces it', () => {
    expect(base.append('/foo').toString()).toBe('spiffe://td/path/foo')
    expect(base.withPath('/foo').toString()).toBe('spiffe://td/foo')
  })
  test('A-113 an ID equals only itself', () => {
    const wanted = SpiffeId.parse('spiffe://foo.test/A')
    const equal = ['/A', '/B', '/sub/C', ''].map((path) => wanted.equals(SpiffeId.parse(`spiffe://foo.test${path}`)))
    expect(equal).toEqual([true, false, false, false])
    expect(wanted.equals(SpiffeId.parse('spiffe://bar.test/A'))).toBe(false)
  })
  test('A-115, A-116 membership is of the whole name: no prefix, no suffix', () => {
    const domain = TrustDomain.parse('foo.test')
    const member = (text: string) => SpiffeId.parse(text).isMemberOf(domain)
    expect(['spiffe://foo.test', 'spiffe://foo.test/A'].map(member)).toEqual([true, true])
    const strangers = ['spiffe://bar.test/A', 'spiffe://foo.test.evil/A', 'spiffe://xfoo.test/A']
    expect(strangers.map(member)).toEqual([false, false, false])
  })
})

describe('trust domain strings', () => {
  for (const [id, text, name] of trustDomainTexts) {
    test(`${id} is ${name === undefined ? 'refused' : 'accepted'}: ${JSON.stringify(text.slice(0, 40))}`, () => {
      if (name === undefined) expect(() => TrustDomain.parse(text)).toThrow(badName)
      else expect(TrustDomain.parse(text).name).toBe(name)
    })
  }
  test('B-019 names are ordered by their bytes', () => {
    const [a, b] = [TrustDomain.parse('a'), TrustDomain.parse('b')]
    expect([a.compareTo(b), a.compareTo(a), b.compareTo(a)]).toEqual([-1, 0, 1])
  })
})
