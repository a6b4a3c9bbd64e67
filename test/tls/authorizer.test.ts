import { describe, expect, test } from 'vitest'
import { SpiffeId } from '../../src/spiffe-id/index.js'
import {
  authorizeAny,
  authorizeId,
  authorizeMemberOf,
  authorizeOneOf,
  toAuthorizer,
  type Authorize,
} from '../../src/tls/index.js'
import { judge } from '../../src/tls/authorizer.js'

const web = SpiffeId.parse('spiffe://a.test/web')
const api = SpiffeId.parse('spiffe://a.test/api')
const other = SpiffeId.parse('spiffe://b.test/web')

describe('an authorizer', () => {
  test('authorizeAny admits every ID', () => expect([web, other].map(authorizeAny())).toEqual([true, true]))

  test('authorizeId admits exactly one', () => {
    const authorizer = authorizeId('spiffe://a.test/web')
    expect([web, api, other].map(authorizer)).toEqual([true, false, false])
    expect(authorizer.trustDomain?.name).toBe('a.test')
  })

  test('authorizeOneOf admits those listed, and knows whether they share a trust domain', () => {
    expect([web, api, other].map(authorizeOneOf([web, other]))).toEqual([true, false, true])
    expect(authorizeOneOf([web, other]).trustDomain).toBeUndefined()
    expect(authorizeOneOf([web, 'spiffe://a.test/api']).trustDomain?.name).toBe('a.test')
  })

  test('authorizeMemberOf admits a whole trust domain', () => {
    expect([web, api, other].map(authorizeMemberOf('a.test'))).toEqual([true, true, false])
  })

  test('a plain string means exactly that SPIFFE ID', () => {
    expect([web, api].map(toAuthorizer('spiffe://a.test/web'))).toEqual([true, false])
    expect([web, api].map(toAuthorizer(api))).toEqual([false, true])
    expect([web, api, other].map(toAuthorizer([api, other]))).toEqual([false, true, true])
  })
})

describe('toAuthorizer refuses at set-up when', () => {
  for (const [reason, authorize, code] of [
    ['it is absent', undefined, 'ERR_AUTHORIZER_REQUIRED'],
    ['it is null', null, 'ERR_AUTHORIZER_REQUIRED'],
    ['it is declared async', async () => Promise.resolve(true), 'ERR_AUTHORIZER_INVALID'],
    ['it is a generator', function* () {}, 'ERR_AUTHORIZER_INVALID'],
    ['it is an async generator', async function* () {}, 'ERR_AUTHORIZER_INVALID'],
    ['it is an object', {}, 'ERR_AUTHORIZER_INVALID'],
    ['it is true', true, 'ERR_AUTHORIZER_INVALID'],
    ['it is authorizeAny and was not called', authorizeAny, 'ERR_AUTHORIZER_INVALID'],
    ['the list is empty', [], 'ERR_AUTHORIZER_INVALID'],
    ['the string is no SPIFFE ID', 'https://a.test/web', 'ERR_SPIFFE_ID_INVALID'],
    ['one string of the list is no SPIFFE ID', ['spiffe://a.test/web', 'web'], 'ERR_SPIFFE_ID_INVALID'],
  ] as const)
    test(reason, () =>
      expect(() => toAuthorizer(authorize as unknown as Authorize)).toThrow(expect.objectContaining({ code })),
    )

  test('the message of an absent one shows the line to write', () =>
    expect(() => toAuthorizer(undefined)).toThrow(/authorize: .*authorizeAny\(\)/s))
})

describe('judge', () => {
  for (const [reason, authorize] of [
    ['says false', () => false],
    ['says nothing', () => undefined],
    ['says 1', () => 1],
    ['says "true"', () => 'true'],
    ['returns a promise', () => Promise.resolve(true)],
    ['returns a promise that is rejected', () => Promise.reject(new Error('late'))],
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
  ] as const)
    test(`refuses when the authorizer ${reason}`, () =>
      expect(judge(toAuthorizer(authorize as unknown as Authorize), web)).toMatchObject({
        code: 'ERR_PEER_NOT_AUTHORIZED',
      }))

  test('admits when it says true', () => expect(judge(() => true, web)).toBeUndefined())
})
