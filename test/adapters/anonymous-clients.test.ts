import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import * as tls from 'node:tls'
import express from 'express'
import Fastify from 'fastify'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { requireSpiffeId, spiffeCaller } from '../../src/adapters/express/index.js'
import { requireSpiffeId as hook, spiffePlugin, spiffeServerFactory } from '../../src/adapters/fastify/index.js'
import { callerOfRequest, createHttp2Server } from '../../src/adapters/http2/index.js'
import { createHttpsServer } from '../../src/adapters/https/index.js'
import { authorizeMemberOf, type IdentitySource } from '../../src/tls/index.js'
import { gullible, listen, request } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa

beforeAll(async () => {
  a = await TestCa.create()
})

const only = 'spiffe://a.test/web'

/** Each tells who calls, and admits one caller to /web. */
const kinds: Record<string, (source: IdentitySource) => Promise<number>> = {
  async https(source) {
    const app = express()
    app.get('/web', requireSpiffeId(only), (_req, res) => void res.send('web'))
    const server = createHttpsServer(source, options, (req, res) => {
      if (req.url === '/web') app(req, res)
      else res.end(callerOfRequest(req)?.id.toString() ?? 'nobody')
    })
    return listen(server)
  },
  async 'http2, over HTTP/1'(source) {
    const app = express()
    app.get('/web', requireSpiffeId(only), (_req, res) => void res.send('web'))
    const server = createHttp2Server(source, { ...options, allowHTTP1: true }, (req, res) => {
      if (req.url === '/web') app(req as never, res as never)
      else res.end(callerOfRequest(req)?.id.toString() ?? 'nobody')
    })
    return listen(server)
  },
  async express(source) {
    const app = express()
    app.get('/', spiffeCaller(), (req, res) => void res.send(req.caller?.id.toString() ?? 'nobody'))
    app.get('/web', requireSpiffeId(only), (_req, res) => void res.send('web'))
    return listen(createHttpsServer(source, options, app))
  },
  async fastify(source) {
    const app = Fastify({ serverFactory: spiffeServerFactory(source, options) })
    onTestFinished(() => app.close())
    await app.register(spiffePlugin)
    app.get('/', (req) => req.caller?.id.toString() ?? 'nobody')
    app.get('/web', { onRequest: hook(only) }, () => 'web')
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  },
}

const options = { clients: 'optional', authorize: authorizeMemberOf('a.test') } as const

const newSource = async () => new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))

describe.each(Object.entries(kinds))("clients: 'optional' on %s", (_name, start) => {
  test('lets a client without a certificate in, as nobody, and a route that names callers answers it 403', async () => {
    const port = await start(await newSource())
    expect(await request({ ...gullible(), port })).toMatchObject({ status: 200, body: 'nobody' })
    const { status, body } = await request({ ...gullible(), port, path: '/web' })
    expect(status).toBe(403)
    expect(JSON.parse(body)).toMatchObject({ code: 'ERR_PEER_NOT_PROVED' })
  })

  test('still proves who shows a certificate, and cuts off who proves nothing', async () => {
    const port = await start(await newSource())
    const known = gullible(await a.leaf({ uris: [only] }))
    expect(await request({ ...known, port })).toMatchObject({ status: 200, body: only })
    expect(await request({ ...known, port, path: '/web' })).toMatchObject({ status: 200, body: 'web' })
    const forged = gullible(await (await TestCa.create()).leaf({ uris: [only] }))
    await expect(request({ ...forged, port })).rejects.toThrow()
  })
})

describe('an https server', () => {
  test("asks nobody with clients: 'none', and nobody is a caller, whatever certificate a client has", async () => {
    const server = createHttpsServer(await newSource(), { clients: 'none' }, (req, res) =>
      res.end(callerOfRequest(req)?.id.toString() ?? 'nobody'),
    )
    const port = await listen(server)
    for (const credential of [undefined, await a.leaf({ uris: [only] })]) {
      expect(await request({ ...gullible(credential), port })).toMatchObject({ status: 200, body: 'nobody' })
    }
  })

  test('shows its web certificate, the newest, and proves clients all the same', async () => {
    const web = await TestCa.create()
    let shown = await web.leaf({ uris: [], dnsNames: ['shop.test'] })
    const policy = { webCertificate: () => shown, authorize: only }
    const server = createHttpsServer(await newSource(), policy, (req, res) =>
      res.end(callerOfRequest(req)?.id.toString()),
    )
    const port = await listen(server)
    const browser = { ...gullible(await a.leaf({ uris: [only] })), port, servername: 'shop.test' }
    for (let round = 0; round < 2; round++) {
      const trusting = { ...browser, rejectUnauthorized: true, ca: web.certificate.toPem() }
      expect((await request(trusting)).body).toBe(only)
      const socket = tls.connect(browser)
      onTestFinished(() => void socket.destroy())
      await once(socket, 'secureConnect')
      expect(socket.getPeerCertificate().serialNumber.toLowerCase()).toBe(shown.certificates[0]!.serialNumber)
      shown = await web.leaf({ uris: [], dnsNames: ['shop.test'] })
    }
    await expect(request({ ...gullible(), port })).rejects.toThrow()
  })
})
