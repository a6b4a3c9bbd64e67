import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { JwtSvid } from '../../src/svid/index.js'
import { now, td } from '../standards/fixtures.js'

const token = td.token({ claims: { aud: ['a', 'b'] } })
const svid = JwtSvid.parseUnverified(token, { hint: 'internal' })

test('a JwtSvid shows what its token says, and is frozen', () => {
  expect(svid.id.toString()).toBe('spiffe://td/w')
  expect(svid.audience).toEqual(['a', 'b'])
  expect(svid.expiresAt).toEqual(new Date(now.getTime() + 300_000))
  expect(svid.hint).toBe('internal')
  expect(svid.token).toBe(token)
  expect(svid.authorization).toBe(`Bearer ${token}`)
  for (const value of [svid, svid.audience, svid.claims]) expect(Object.isFrozen(value)).toBe(true)
  expect(JwtSvid.parseUnverified(token).hint).toBe('')
})

test('a JwtSvid is expired from its exp on', () => {
  expect(svid.isExpired(new Date(svid.expiresAt.getTime() - 1))).toBe(false)
  expect(svid.isExpired(svid.expiresAt)).toBe(true)
  expect(svid.isExpired(new Date(NaN))).toBe(true)
})

test('a JwtSvid equals one of the same token and hint', () => {
  expect(svid.equals(JwtSvid.parseUnverified(token, { hint: 'internal' }))).toBe(true)
  expect(svid.equals(JwtSvid.parseUnverified(token))).toBe(false)
  expect(svid.equals(JwtSvid.parseUnverified(td.token(), { hint: 'internal' }))).toBe(false)
})

test('a JwtSvid prints no part of its token', () => {
  const parts = token.split('.')
  for (const text of [inspect(svid, { depth: 10, showHidden: true }), JSON.stringify({ svid }), String(svid)]) {
    for (const part of parts) expect(text).not.toContain(part)
  }
  expect(JSON.parse(JSON.stringify(svid))).toEqual({
    id: 'spiffe://td/w',
    audience: ['a', 'b'],
    expiresAt: svid.expiresAt.toISOString(),
    hint: 'internal',
    token: '[redacted]',
  })
})
