import * as https from 'node:https'
import * as tls from 'node:tls'
import express from 'express'
import Fastify from 'fastify'
import { request as undiciRequest } from 'undici'
import { onTestFinished } from 'vitest'
import { requireSpiffeId } from '../../src/adapters/express/index.js'
import { spiffePlugin, spiffeServerFactory } from '../../src/adapters/fastify/index.js'
import { createHttp2Server } from '../../src/adapters/http2/index.js'
import { attachSpiffe, createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import {
  attachSpiffeToServer,
  authorizeAny,
  createTlsOptionsForClient,
  createTlsOptionsForServer,
  type Authorize,
  type IdentitySource,
} from '../../src/tls/index.js'
import { listen, request, talk } from '../tls/network.js'
import { http2ClientKinds, http2ServerKinds } from './h2.js'
import { recorder, type ServerOptions } from './recorder.js'

/** What a server kind needs to be attacked. */
export interface ServerUnderAttack {
  server: tls.Server
  port: number
  /** Everything that reached a handler. */
  handled: string[]
  /** Codes of the refusals that were reported. */
  rejected: unknown[]
}

export interface ServerKind {
  name: string
  /** Sends a request with the last flight of the handshake. Returns what came back, nothing if nothing did. */
  speak: (options: tls.ConnectionOptions) => Promise<string>
  /** What a proved client that is not authorized hears. */
  denied: RegExp
  start: (source: IdentitySource, options?: ServerOptions) => Promise<ServerUnderAttack>
}

const get = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'

/** Speaks HTTP/1 with the last flight of the handshake, and returns all that comes back. */
const speak = async (options: tls.ConnectionOptions) => (await talk(options, get)).heard
const denied = /^HTTP\/1\.1 403 /

const http1ServerKinds: ServerKind[] = [
  {
    name: 'tls',
    speak: async (options) => (await talk(options, 'hello')).heard,
    denied: /^$/,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = tls.createServer(createTlsOptionsForServer(source), (socket) => {
        socket.on('error', () => undefined)
        socket.on('data', (chunk) => handled.push(String(chunk)))
        socket.end('in')
      })
      attachSpiffeToServer(server, source, options)
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'https',
    speak,
    denied,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = createHttpsServer(source, options, (req, res) => {
        handled.push(req.url ?? '')
        res.end('in')
      })
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'https, attached',
    speak,
    denied,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = https.createServer(createTlsOptionsForServer(source))
      attachSpiffe(server, source, options)
      server.prependListener('request', (req, res) => {
        handled.push(req.url ?? '')
        res.end('in')
      })
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'express',
    speak,
    denied,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const app = express()
      app.use((req, res) => {
        handled.push(req.url)
        res.end('in')
      })
      const server = createHttpsServer(source, options, app)
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'express, by route alone',
    speak,
    denied,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const app = express()
      app.use(requireSpiffeId(options.authorize), (req, res) => {
        handled.push(req.url)
        res.end('in')
      })
      const server = createHttpsServer(source, { ...options, authorize: authorizeAny() }, app)
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'http2, over HTTP/1',
    speak,
    denied,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const server = createHttp2Server(source, { ...options, allowHTTP1: true }, (req, res) => {
        handled.push(req.url)
        res.end('in')
      })
      return { server, port: await listen(server), handled, rejected }
    },
  },
  {
    name: 'fastify',
    speak,
    denied,
    async start(source, given = {}) {
      const { handled, rejected, options } = recorder(given)
      const app = Fastify({ serverFactory: spiffeServerFactory(source, options) })
      onTestFinished(() => app.close())
      app.register(spiffePlugin)
      app.get('/', (req) => {
        handled.push(req.url)
        return 'in'
      })
      await app.listen({ port: 0, host: '127.0.0.1' })
      const address = app.server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      return { server: app.server, port, handled, rejected }
    },
  },
]

export interface ClientKind {
  name: string
  /** Calls a server that speaks HTTP/1 and HTTP/2. Rejects when the server is not accepted; resolves to what it answered. */
  call: (source: IdentitySource, authorize: Authorize, port: number) => Promise<string>
}

const http1ClientKinds: ClientKind[] = [
  {
    name: 'tls.connect',
    call: (source, authorize, port) =>
      new Promise((resolve, reject) => {
        const options = createTlsOptionsForClient(source, { authorize })
        const socket = tls.connect({ host: '127.0.0.1', port, ...options }, () => socket.write(get))
        let heard = ''
        socket.setEncoding('utf8').on('data', (chunk: string) => (heard += chunk))
        socket.on('error', reject).on('close', () => resolve(heard))
      }),
  },
  {
    name: 'SpiffeHttpsAgent',
    async call(source, authorize, port) {
      const agent = new SpiffeHttpsAgent(source, { authorize })
      onTestFinished(() => agent.destroy())
      return (await request({ port, agent })).body
    },
  },
  {
    name: 'undici request',
    async call(source, authorize, port) {
      const dispatcher = createDispatcher(source, { authorize })
      onTestFinished(() => dispatcher.destroy())
      return (await undiciRequest(`https://127.0.0.1:${port}`, { dispatcher })).body.text()
    },
  },
  {
    name: 'undici request, HTTP/2',
    async call(source, authorize, port) {
      const dispatcher = createDispatcher(source, { authorize, agentOptions: { allowH2: true } })
      onTestFinished(() => dispatcher.destroy())
      return (await undiciRequest(`https://127.0.0.1:${port}`, { dispatcher })).body.text()
    },
  },
  {
    name: 'global fetch',
    async call(source, authorize, port) {
      const dispatcher = createDispatcher(source, { authorize })
      onTestFinished(() => dispatcher.destroy())
      return (await fetch(`https://127.0.0.1:${port}`, { dispatcher })).text()
    },
  },
]

export const serverKinds: ServerKind[] = [...http1ServerKinds, ...http2ServerKinds]
export const clientKinds: ClientKind[] = [...http1ClientKinds, ...http2ClientKinds]
