import { status } from '@grpc/grpc-js'
import type { ServiceError } from '@grpc/grpc-js'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type { JSONWebKeySet } from 'jose'
import { describe, expect, test } from 'vitest'
import type { IndependentClient } from './independent-client.js'
import { connect, startAgent } from './scope.js'

interface JwtSvids {
  svids: { spiffe_id: string; svid: string; hint: string }[]
}
interface JwtBundles {
  bundles: Record<string, Buffer>
}
interface Value {
  stringValue?: string
  numberValue?: number
  listValue?: { values: Value[] }
}
interface Validated {
  spiffe_id: string
  claims: { fields: Record<string, Value> }
}

const web = 'spiffe://example.org/web'
const batch = 'spiffe://example.org/batch'

const fetchJwt = (client: IndependentClient, request: object) => client.unary<JwtSvids>('FetchJWTSVID', request)
const validate = (client: IndependentClient, request: object) => client.unary<Validated>('ValidateJWTSVID', request)
const jwksOf = (bytes: Buffer | undefined) => JSON.parse(bytes!.toString()) as JSONWebKeySet

async function served(options = {}) {
  const agent = await startAgent(options)
  const workload = await agent.workload(web, { hint: 'internal', also: [{ id: batch }] })
  return { agent, workload, client: connect(workload.endpoint) }
}

test('WAPI-30 JWT-02 JWT-08 JWT-10 JWT-14 a JWT-SVID verifies with the JWT bundle and says what was asked for', async () => {
  const { client } = await served({ jwtTtlMs: 60_000 })
  const { svids } = await fetchJwt(client, { audience: ['a', 'b'], spiffe_id: web })
  expect(svids).toMatchObject([{ spiffe_id: web, hint: 'internal' }])
  const token = svids[0]!.svid
  const bundles = await client.stream<JwtBundles>('FetchJWTBundles').next()
  const keys = createLocalJWKSet(jwksOf(bundles.bundles['spiffe://example.org']))
  const { payload, protectedHeader } = await jwtVerify(token, keys, { audience: 'b' })
  expect(Object.keys(protectedHeader).sort()).toEqual(['alg', 'kid', 'typ'])
  expect(payload).toMatchObject({ sub: web, aud: ['a', 'b'] })
  expect(payload.exp! - payload.iat!).toBeGreaterThanOrEqual(60)
  expect(payload.exp! - payload.iat!).toBeLessThanOrEqual(61)
})

test('WAPI-31 WAPI-34 without a SPIFFE ID every identity gets its token', async () => {
  const { client } = await served()
  const { svids } = await fetchJwt(client, { audience: ['a'] })
  expect(svids.map(({ spiffe_id, svid }) => [spiffe_id, decodeJwt(svid).sub])).toEqual([
    [web, web],
    [batch, batch],
  ])
})

test('WAPI-32 with a SPIFFE ID only that identity gets its token', async () => {
  const { client } = await served()
  for (const id of [batch, web]) {
    const { svids } = await fetchJwt(client, { audience: ['a'], spiffe_id: id })
    expect(svids.map(({ spiffe_id, svid }) => [spiffe_id, decodeJwt(svid).sub])).toEqual([[id, id]])
  }
})

for (const [row, request, code] of [
  ['WAPI-12 no audience', { audience: [] }, status.INVALID_ARGUMENT],
  ['WAPI-12 an empty audience', { audience: ['a', ''] }, status.INVALID_ARGUMENT],
  ['WAPI-32 H-031 a malformed SPIFFE ID', { audience: ['a'], spiffe_id: 'foo' }, status.INVALID_ARGUMENT],
  ['WAPI-33 an identity of somebody else', { audience: ['a'], spiffe_id: `${web}/x` }, status.PERMISSION_DENIED],
] as const) {
  test(`${row} is refused with ${status[code]}`, async () => {
    const { client } = await served()
    expect(await client.statusOf('FetchJWTSVID', request)).toBe(code)
  })
}

test('WAPI-33 WAPI-40 a withdrawn workload gets no token and no JWT bundles', async () => {
  const { client, workload } = await served()
  const stream = client.stream<JwtBundles>('FetchJWTBundles')
  await stream.next()
  workload.withdraw()
  expect((await stream.status).code).toBe(status.PERMISSION_DENIED)
  expect(await client.statusOf('FetchJWTSVID', { audience: ['a'] })).toBe(status.PERMISSION_DENIED)
})

test('WAPI-36 WAPI-37 JWT bundles are JWK Sets by trust domain ID: own first, keys with kid and nothing private', async () => {
  const { agent, client } = await served()
  const stream = client.stream<JwtBundles>('FetchJWTBundles')
  await stream.next()
  agent.federateWith(await startAgent({ trustDomain: 'partner.example' }))
  const { bundles } = await stream.next()
  expect(Object.keys(bundles)).toEqual(['spiffe://example.org', 'spiffe://partner.example'])
  for (const bytes of Object.values(bundles)) {
    const { keys } = jwksOf(bytes)
    expect(keys).toHaveLength(1)
    expect(Object.keys(keys[0]!).sort()).toEqual(['crv', 'kid', 'kty', 'x', 'y'])
  }
})

test('WAPI-08 an SVID rotation does not wake a stream of JWT bundles; a roll-over does', async () => {
  const { agent, client } = await served()
  const stream = client.stream<JwtBundles>('FetchJWTBundles')
  await stream.next()
  await agent.rotate()
  await agent.prepareAuthority()
  expect(jwksOf((await stream.next()).bundles['spiffe://example.org']).keys).toHaveLength(2)
})

test('a token of the old authority is valid until that authority is retired', async () => {
  const { agent, client } = await served()
  const { svids } = await fetchJwt(client, { audience: ['a'], spiffe_id: web })
  const request = { audience: 'a', svid: svids[0]!.svid }
  await agent.prepareAuthority()
  await agent.activateAuthority()
  expect((await validate(client, request)).spiffe_id).toBe(web)
  agent.retireAuthorities()
  expect(await client.statusOf('ValidateJWTSVID', request)).toBe(status.INVALID_ARGUMENT)
})

describe('ValidateJWTSVID', () => {
  test('WAPI-42 WAPI-43 answers with the ID and the claims, aud as a list', async () => {
    const { client } = await served()
    const { svids } = await fetchJwt(client, { audience: ['a'], spiffe_id: web })
    const { spiffe_id, claims } = await validate(client, { audience: 'a', svid: svids[0]!.svid })
    const { exp } = decodeJwt(svids[0]!.svid)
    expect(spiffe_id).toBe(web)
    expect(claims.fields['sub']).toEqual({ stringValue: web })
    expect(claims.fields['aud']).toEqual({ listValue: { values: [{ stringValue: 'a' }] } })
    expect(claims.fields['exp']).toEqual({ numberValue: exp })
  })

  test('a token of a federated agent is valid while the two are tied', async () => {
    const { agent, client } = await served()
    const partner = await startAgent({ trustDomain: 'partner.example' })
    const stock = 'spiffe://partner.example/stock'
    const { svids } = await fetchJwt(connect((await partner.workload(stock)).endpoint), { audience: ['a'] })
    const request = { audience: 'a', svid: svids[0]!.svid }
    // H-041: a foreign trust domain without a bundle.
    expect(await client.statusOf('ValidateJWTSVID', request)).toBe(status.INVALID_ARGUMENT)
    agent.federateWith(partner)
    expect((await validate(client, request)).spiffe_id).toBe(stock)
  })

  test('E-028 an expired token is refused by the clock of the agent', async () => {
    let now = Date.now()
    const { client } = await served({ jwtTtlMs: 60_000, now: () => new Date(now) })
    const { svids } = await fetchJwt(client, { audience: ['a'], spiffe_id: web })
    const request = { audience: 'a', svid: svids[0]!.svid }
    expect((await validate(client, request)).spiffe_id).toBe(web)
    now += 61_000
    expect(await client.statusOf('ValidateJWTSVID', request)).toBe(status.INVALID_ARGUMENT)
  })

  const good = async () => {
    const { client } = await served()
    const { svids } = await fetchJwt(client, { audience: ['a'], spiffe_id: web })
    return { client, token: svids[0]!.svid }
  }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

  for (const [reason, mend] of [
    ['WAPI-12 no token is given', () => ({ audience: 'a', svid: '' })],
    ['WAPI-12 no audience is given', (token: string) => ({ audience: '', svid: token })],
    ['H-040 the token is for somebody else', (token: string) => ({ audience: 'b', svid: token })],
    ['it is no token', () => ({ audience: 'a', svid: 'hello' })],
    ['JWT-16 the signature is another', (token: string) => ({ audience: 'a', svid: `${token.slice(0, -8)}AAAAAAAA` })],
    [
      'JWT-16 the claims are others',
      (token: string) => {
        const [header, , signature] = token.split('.')
        return { audience: 'a', svid: [header, part({ ...decodeJwt(token), sub: batch }), signature].join('.') }
      },
    ],
    [
      'JWT-04 the algorithm is none',
      (token: string) => ({ audience: 'a', svid: `${part({ alg: 'none' })}.${token.split('.')[1]!}.` }),
    ],
  ] as const) {
    test(`is refused when ${reason}`, async () => {
      const { client, token } = await good()
      const error = await validate(client, mend(token)).then(
        () => undefined,
        (thrown: unknown) => thrown as ServiceError,
      )
      expect(error?.code).toBe(status.INVALID_ARGUMENT)
      expect(error?.details).not.toContain(token.split('.')[1])
    })
  }

  test('JWT-06 is refused when a stranger signed it under the kid of the authority', async () => {
    const { client, token } = await good()
    const { privateKey } = await generateKeyPair('ES256')
    const forged = await new SignJWT(decodeJwt(token))
      .setProtectedHeader({ alg: 'ES256', kid: decodeProtectedHeader(token).kid! })
      .sign(privateKey)
    expect(await client.statusOf('ValidateJWTSVID', { audience: 'a', svid: forged })).toBe(status.INVALID_ARGUMENT)
  })
})

test('stall() holds JWT calls until behave(), deny() answers them', async () => {
  const { client, workload } = await served()
  workload.steering.stall()
  const held = fetchJwt(client, { audience: ['a'] })
  await expect.poll(() => workload.steering.openStreams).toBe(1)
  workload.steering.behave()
  expect((await held).svids).toHaveLength(2)
  workload.steering.deny(status.RESOURCE_EXHAUSTED)
  expect(await client.statusOf('FetchJWTSVID', { audience: ['a'] })).toBe(status.RESOURCE_EXHAUSTED)
})
