import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { beforeAll, expect, test } from 'vitest'
import type { JwtKey } from '../../../src/dev/agent/jwt-authority.js'
import { validateJwt } from '../../../src/dev/agent/jwt-validation.js'

const web = 'spiffe://example.org/web'
const now = new Date('2030-01-01T00:00:00Z')
const seconds = now.getTime() / 1000
let sign: (header: object, claims: object) => Promise<string>
let key: JwtKey

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  key = { ...(await exportJWK(publicKey)), kid: 'k1' } as JwtKey
  sign = (header, claims) =>
    new SignJWT({ sub: web, aud: ['a'], exp: seconds + 60, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1', ...header })
      .sign(privateKey)
})

const check = async (header: object, claims: object) =>
  validateJwt(
    await sign(header, claims),
    'a',
    (trustDomain) => (trustDomain === 'example.org' ? [key] : trustDomain === 'empty.example' ? [] : undefined),
    now,
  )

for (const [row, header, claims] of [
  ['D-001 the usual token', {}, {}],
  ['D-002 typ JWT', { typ: 'JWT' }, {}],
  ['JWT-07 typ JOSE', { typ: 'JOSE' }, {}],
  ['E-002 aud as a text', {}, { aud: 'a' }],
  ['E-035 further claims', {}, { iss: 'x', jti: 'y', role: ['r'] }],
] as const) {
  test(`${row} is valid`, async () => {
    const validated = await check(header, claims)
    expect(validated.id.toString()).toBe(web)
    expect(validated.claims).toMatchObject({ ...claims, aud: ['a'] })
  })
}

for (const [row, header, claims] of [
  ['D-004 typ jwt', { typ: 'jwt' }, {}],
  ['D-007 typ wit+jwt', { typ: 'wit+jwt' }, {}],
  ['D-013 a kid that names no key', { kid: 'k2' }, {}],
  ['D-028 jku', { jku: 'https://x.example/' }, {}],
  ['D-034 a private header', { foo: 'bar' }, {}],
  ['E-007 an audience that only begins like ours', {}, { aud: ['ab'] }],
  ['E-008 no aud', {}, { aud: undefined }],
  ['E-010 an empty aud', {}, { aud: [] }],
  ['E-016 an empty sub', {}, { sub: '' }],
  ['JWT-08 no sub', {}, { sub: undefined }],
  ['E-019 a sub in capitals', {}, { sub: 'spiffe://EXAMPLE.org/web' }],
  ['E-022 a sub of another trust domain', {}, { sub: 'spiffe://other.example/web' }],
  ['E-047 a sub whose trust domain has no keys', {}, { sub: 'spiffe://empty.example/web' }],
  ['JWT-14 no exp', {}, { exp: undefined }],
  ['E-028 an exp in the past', {}, { exp: seconds - 1 }],
  ['E-032 an nbf in the future', {}, { nbf: seconds + 120 }],
] as const) {
  test(`${row} is not valid`, async () => {
    await expect(check(header, claims)).rejects.toThrow()
  })
}
