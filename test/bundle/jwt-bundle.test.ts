import { createLocalJWKSet, jwtVerify, type JWK } from 'jose'
import { describe, expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'

const td = new TestTrustDomain('td')
const token = td.token()
const keys: JWK[] = td.jwtBundle().toJSON().keys

/** What docs/jwt-svids.md says of other libraries. */
describe('the JWK Set of a JwtBundle in the hands of jose', () => {
  test('has no key for it, since their use is jwt-svid', async () => {
    expect(keys.map(({ use }) => use)).toEqual(['jwt-svid'])
    await expect(jwtVerify(token, createLocalJWKSet({ keys }), { audience: 'a' })).rejects.toMatchObject({
      code: 'ERR_JWKS_NO_MATCHING_KEY',
    })
  })
  test('proves tokens without use', async () => {
    const bare = keys.map((key) => {
      const rest = { ...key }
      delete rest.use
      return rest
    })
    const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: bare }), {
      audience: 'a',
      requiredClaims: ['exp', 'sub'],
    })
    expect(payload.sub).toBe('spiffe://td/w')
  })
})
