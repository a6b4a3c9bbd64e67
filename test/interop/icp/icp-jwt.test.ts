import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { WorkloadApiClient } from '../../../src/workload-api/index.js'
import { keepUntilEnd } from '../keep-until-end.js'
import { PythonAgent } from './python-agent.js'
import { Tenant } from './tenant.js'

const agent = await keepUntilEnd()(PythonAgent.start('icp'))
const tenant = new Tenant()
const { workloadId } = tenant

beforeEach(() => agent.reset())

function connect(): WorkloadApiClient {
  const client = new WorkloadApiClient({ endpoint: agent.endpoint })
  onTestFinished(() => client.close())
  return client
}

describe('JWT-SVIDs', () => {
  test('without kid are fetched for their audience', async () => {
    await agent.hold([tenant.issue()])
    const token = tenant.sign(tenant.claims(['api', 'db']))
    await agent.holdJwt(workloadId, token)
    const svid = await connect().fetchJwtSvid(['api', 'db'], { spiffeId: workloadId })
    expect(svid.token).toBe(token)
    expect(svid.id.toString()).toBe(workloadId)
    const [call] = await agent.calls('FetchJWTSVID')
    expect(call?.request).toEqual({ spiffe_id: workloadId, audience: ['api', 'db'] })
  })

  test('are fetched as the first call too when the dialect is forced: the agent is asked for an SVID before', async () => {
    await agent.hold([tenant.issue()])
    await agent.holdJwt(workloadId, tenant.sign(tenant.claims(['api'])))
    const client = new WorkloadApiClient({ endpoint: agent.endpoint, dialect: 'icp' })
    onTestFinished(() => client.close())
    expect((await client.fetchJwtSvid('api')).id.toString()).toBe(workloadId)
  })

  test('for another audience than was asked for are refused', async () => {
    await agent.hold([tenant.issue()])
    await agent.holdJwt(workloadId, tenant.sign(tenant.claims(['other'])))
    await expect(connect().fetchJwtSvid('api')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' })
  })

  test('fail with the status that the agent gives', async () => {
    const client = connect()
    await expect(client.fetchJwtSvid('api')).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 })
    await agent.hold([tenant.issue()])
    const internal = { code: 'ERR_WORKLOAD_API_UNAVAILABLE', grpcStatus: 13 }
    await expect(client.fetchJwtSvid('api')).rejects.toMatchObject(internal)
    await expect(client.fetchJwtBundles()).rejects.toMatchObject(internal)
  })

  test('have bundles whose keys are for "sig"', async () => {
    await agent.hold([tenant.issue()])
    await agent.holdJwtBundles({ [tenant.name.toUpperCase()]: tenant.jwks })
    const [bundle] = [...(await connect().fetchJwtBundles())]
    expect(bundle?.trustDomain.name).toBe(tenant.name)
    expect(bundle?.authorities.map(({ keyId }) => keyId)).toEqual(['default'])
  })
})

describe('validateJwtSvid()', () => {
  beforeEach(() => agent.hold([tenant.issue()]))

  const texts = (claims: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, String(value)]))

  test('accepts what the agent accepts and the token itself confirms, and puts the token where it belongs', async () => {
    const claims = tenant.claims(['api'])
    const token = tenant.sign(claims)
    await agent.know(token, workloadId, ['api'], texts(claims))
    const validated = await connect().validateJwtSvid(token, 'api')
    expect(validated.id.toString()).toBe(workloadId)
    const [call] = await agent.calls('ValidateJWTSVID')
    expect(call?.request).toEqual({ svid: token, audience: 'api' })
  })

  test('refuses an invalid token, which the agent answers with OK', async () => {
    const refused = connect().validateJwtSvid(tenant.sign(tenant.claims(['api'])), 'api')
    await expect(refused).rejects.toMatchObject({ name: 'UntrustedPeerError', code: 'ERR_JWT_SVID_SIGNATURE' })
  })

  test('refuses the wrong audience, which the agent answers with OK, the SPIFFE ID and no claims', async () => {
    const claims = tenant.claims(['api'])
    const token = tenant.sign(claims)
    await agent.know(token, workloadId, ['api'], texts(claims))
    const refused = connect().validateJwtSvid(token, 'db')
    await expect(refused).rejects.toMatchObject({ name: 'UntrustedPeerError', code: 'ERR_JWT_SVID_AUDIENCE' })
  })

  for (const [what, change, code] of [
    ['has expired', { exp: 1_000 }, 'ERR_JWT_SVID_EXPIRED'],
    ['is of another subject', { sub: `${workloadId}-2` }, 'ERR_JWT_SVID_MALFORMED'],
    ['is for another audience', { aud: ['db'] }, 'ERR_JWT_SVID_AUDIENCE'],
  ] as const)
    test(`refuses a token that ${what}, whatever the agent says`, async () => {
      const claims = tenant.claims(['api'], change)
      const token = tenant.sign(claims)
      await agent.know(token, workloadId, ['api'], texts(claims))
      const refused = connect().validateJwtSvid(token, 'api')
      await expect(refused).rejects.toMatchObject({ name: 'UntrustedPeerError', code })
    })

  describe('over a valid token at which the agent breaks down with UNKNOWN', () => {
    const claims = tenant.claims(['api'])
    const token = tenant.sign(claims)

    test('refuses, and does not repeat the token, when there is no bundle to verify it with', async () => {
      await agent.know(token, workloadId, ['api'], claims)
      const error = (await connect()
        .validateJwtSvid(token, 'api')
        .catch((e: unknown) => e)) as Error
      expect(error).toMatchObject({ code: 'ERR_WORKLOAD_API_UNAVAILABLE', grpcStatus: 2 })
      expect(error.message).not.toContain(token.slice(-40))
    })

    test('verifies it itself with the JWT bundles', async () => {
      await agent.know(token, workloadId, ['api'], claims)
      await agent.holdJwtBundles({ [tenant.name]: tenant.jwks })
      expect((await connect().validateJwtSvid(token, 'api')).id.toString()).toBe(workloadId)
    })

    test('refuses it when the bundles do not prove it', async () => {
      await agent.know(token, workloadId, ['api'], claims)
      await agent.holdJwtBundles({ [tenant.name]: new Tenant().jwks })
      const refused = connect().validateJwtSvid(token, 'api')
      await expect(refused).rejects.toMatchObject({ name: 'UntrustedPeerError', code: 'ERR_JWT_SVID_SIGNATURE' })
    })
  })

  test('refuses when the server behind the agent is away', async () => {
    await agent.loseUpstream()
    const refused = connect().validateJwtSvid(tenant.sign(tenant.claims(['api'])), 'api')
    await expect(refused).rejects.toMatchObject({ code: 'ERR_WORKLOAD_API_REFUSED', grpcStatus: 3 })
  })
})
