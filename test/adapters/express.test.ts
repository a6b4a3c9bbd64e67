import { createServer } from 'node:http'
import express5 from 'express'
import { beforeAll, describe, expect, test } from 'vitest'
import { requireSpiffeId, spiffeCaller } from '../../src/adapters/express/index.js'
import { authorizeMemberOf } from '../../src/tls/index.js'
import { listen, request } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { agentOf, serve } from './frameworks.js'

let a: TestCa

beforeAll(async () => {
  a = await TestCa.create()
})

// An alias of express 4, so that both majors can be installed side by side.
const alias = 'express4'
const express4 = (await import(alias).catch(() => undefined)) as { default: typeof express5 } | undefined

describe.each([
  ['Express 5', express5],
  ['Express 4', express4?.default],
])('%s', (_name, found) => {
  const express = found as typeof express5

  function newApp() {
    const app = express()
    const reached: string[] = []
    app.use(spiffeCaller())
    app.get('/who', (req, res) => {
      res.json({ id: req.caller?.id, by: req.caller?.provedBy })
    })
    app.get('/web', requireSpiffeId('spiffe://a.test/web'), (req, res) => {
      reached.push(String(req.caller?.id))
      res.send('web')
    })
    app.get('/team', requireSpiffeId(['spiffe://a.test/web', 'spiffe://a.test/api']), (_req, res) => {
      res.send('team')
    })
    app.get('/all', requireSpiffeId(authorizeMemberOf('a.test')), (_req, res) => {
      res.send('all')
    })
    return { app, reached }
  }

  test.skipIf(!found)('puts the proved caller on the request', async () => {
    const port = await serve(a, newApp().app)
    const agent = await agentOf(a, 'spiffe://a.test/web')
    const { body } = await request({ port, agent, path: '/who' })
    expect(JSON.parse(body)).toEqual({ id: 'spiffe://a.test/web', by: 'x509-svid' })
  })

  test.skipIf(!found)('a route lets in those it names', async () => {
    const { app, reached } = newApp()
    const port = await serve(a, app)
    const web = await agentOf(a, 'spiffe://a.test/web')
    const api = await agentOf(a, 'spiffe://a.test/api')
    const status = async (agent: typeof web, path: string) => (await request({ port, agent, path })).status
    expect([await status(web, '/web'), await status(web, '/team'), await status(web, '/all')]).toEqual([200, 200, 200])
    expect([await status(api, '/web'), await status(api, '/team'), await status(api, '/all')]).toEqual([403, 200, 200])
    expect(reached).toEqual(['spiffe://a.test/web'])
  })

  test.skipIf(!found)('answers others 403 with a problem body', async () => {
    const port = await serve(a, newApp().app)
    const agent = await agentOf(a, 'spiffe://a.test/stranger')
    const { status, headers, body } = await request({ port, agent, path: '/web' })
    expect(status).toBe(403)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(JSON.parse(body)).toMatchObject({ status: 403, code: 'ERR_PEER_NOT_AUTHORIZED' })
  })

  test.skipIf(!found)('fails closed where nobody was proved', async () => {
    const { app, reached } = newApp()
    const port = await listen(createServer(app))
    const answer = await fetch(`http://127.0.0.1:${port}/web`, { headers: { 'x-caller': 'spiffe://a.test/web' } })
    expect(answer.status).toBe(403)
    expect(await answer.json()).toMatchObject({ code: 'ERR_PEER_NOT_PROVED' })
    const who = await fetch(`http://127.0.0.1:${port}/who`)
    expect(await who.json()).toEqual({})
    expect(reached).toEqual([])
  })
})

test('requireSpiffeId refuses an unusable list when the route is set up', () => {
  for (const [ids, code] of [
    [undefined, 'ERR_AUTHORIZER_REQUIRED'],
    [[], 'ERR_AUTHORIZER_INVALID'],
    ['a.test/web', 'ERR_SPIFFE_ID_INVALID'],
    [async () => Promise.resolve(true), 'ERR_AUTHORIZER_INVALID'],
  ] as const)
    expect(() => requireSpiffeId(ids as never)).toThrow(expect.objectContaining({ code }))
})
