import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { status } from '@grpc/grpc-js'
import express from 'express'
import Fastify from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DevAgent } from '../../src/dev/agent/index.js'
import type { DevWorkload } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'

let agent: DevAgent
let web: DevWorkload
let svid: QuickStartSVID
const opened: AsyncDisposable[] = []

beforeEach(async () => {
  agent = await DevAgent.start({ trustDomain: 'example.org' })
  web = await agent.workload('spiffe://example.org/web')
  svid = await QuickStartSVID.create({ endpoint: web.endpoint, files: false })
  opened.push(agent, svid)
})

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing[Symbol.asyncDispose]()
})

async function listen(listener: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push({
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Serves both probes and returns the address. */
const frameworks = {
  'node:http': () => {
    const [ready, live] = [svid.readinessHandler(), svid.livenessHandler()]
    return listen((request, response) => (request.url === '/ready' ? ready : live)(request, response))
  },
  Express: () => {
    const app = express()
    app.get('/ready', svid.readinessHandler())
    app.get('/healthz', svid.livenessHandler())
    return listen(app)
  },
  Fastify: async () => {
    const app = Fastify()
    app.get('/ready', svid.readinessHandler())
    app.get('/healthz', svid.livenessHandler())
    await app.listen({ port: 0, host: '127.0.0.1' })
    opened.push({ [Symbol.asyncDispose]: () => app.close() })
    return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  },
}

async function probe(url: string) {
  const response = await fetch(url)
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(response.headers.get('cache-control')).toBe('no-store')
  return { status: response.status, body: await response.json() }
}

for (const [name, serve] of Object.entries(frameworks))
  describe(`probes in ${name}`, () => {
    test('answer as orchestrators expect while all is well', async () => {
      const url = await serve()
      expect(await probe(`${url}/ready`)).toEqual({ status: 200, body: { ready: true } })
      expect(await probe(`${url}/healthz`)).toEqual({ status: 200, body: { status: 'healthy' } })
    })

    test('take the process out of service, and do not restart it, while its identity is withdrawn', async () => {
      const url = await serve()
      const withdrawn = new Promise((resolve) => svid.once('withdrawn', resolve))
      web.withdraw()
      await withdrawn
      expect(await probe(`${url}/ready`)).toEqual({ status: 503, body: { ready: false } })
      expect(await probe(`${url}/healthz`)).toEqual({ status: 200, body: { status: 'degraded' } })
    })

    test('keep it in service while the agent is away and the identity is valid', async () => {
      const url = await serve()
      const unavailable = new Promise((resolve) => svid.once('unavailable', resolve))
      await web.steering.die()
      await unavailable
      expect(await probe(`${url}/ready`)).toEqual({ status: 200, body: { ready: true } })
      expect(await probe(`${url}/healthz`)).toEqual({ status: 200, body: { status: 'degraded' } })
    })

    test('ask for a restart when the agent refuses for good', async () => {
      const url = await serve()
      const unavailable = new Promise((resolve) => svid.once('unavailable', resolve))
      web.steering.deny(status.INVALID_ARGUMENT, 'no')
      await unavailable
      expect(await probe(`${url}/healthz`)).toEqual({ status: 503, body: { status: 'unhealthy' } })
    })
  })
