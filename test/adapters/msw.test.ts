import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { http, HttpResponse, passthrough } from 'msw'
import { setupServer } from 'msw/node'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import { authorizeAny, type Authorize } from '../../src/tls/index.js'
import { codeOf, listen } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa

beforeAll(async () => {
  a = await TestCa.create()
})

/** Two ways of an application to call a server; the requests of both are ones that msw can see. */
const ways = {
  async 'https with our agent'(authorize: Authorize, port: number, path: string) {
    const agent = new SpiffeHttpsAgent(await newSource('spiffe://a.test/client'), { authorize })
    onTestFinished(() => agent.destroy())
    // By the default import: msw replaces members of the module, which named imports of it do not see.
    const sent = https.get({ host: '127.0.0.1', port, agent, path })
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    return text(response)
  },
  async 'the global fetch with our dispatcher'(authorize: Authorize, port: number, path: string) {
    const dispatcher = createDispatcher(await newSource('spiffe://a.test/client'), { authorize })
    onTestFinished(() => dispatcher.destroy())
    const init = { dispatcher } as unknown as RequestInit
    return (await fetch(`https://127.0.0.1:${port}${path}`, init)).text()
  },
}

async function newSource(id: string) {
  return new TestSource(await a.svid(id), a.bundle('a.test'))
}

describe.each(Object.entries(ways))('msw and %s', (_name, call) => {
  async function start() {
    const server = createHttpsServer(
      await newSource('spiffe://a.test/server'),
      { authorize: authorizeAny() },
      (_req, res) => res.end('real'),
    )
    const port = await listen(server)
    const mocks = setupServer(
      http.get(`https://127.0.0.1:${port}/mocked`, () => HttpResponse.text('mocked')),
      http.get(`https://127.0.0.1:${port}/real`, () => passthrough()),
    )
    mocks.listen({ onUnhandledRequest: 'error' })
    onTestFinished(() => mocks.close())
    return port
  }

  test('what the application mocks is mocked', async () => {
    const port = await start()
    expect(await call('spiffe://a.test/server', port, '/mocked')).toBe('mocked')
  })

  test('what is let through is proved', async () => {
    const port = await start()
    expect(await call('spiffe://a.test/server', port, '/real')).toBe('real')
    const error: unknown = await call('spiffe://a.test/other', port, '/real').catch((cause: unknown) => cause)
    expect(codeOf(error)).toBe('ERR_PEER_NOT_AUTHORIZED')
  })
})
