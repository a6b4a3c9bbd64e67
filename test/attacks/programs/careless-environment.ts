import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { Client } from '@grpc/grpc-js'
import { request as undiciRequest } from 'undici'
import { createGrpcChannelCredentials } from '../../../src/adapters/grpc/index.js'
import { connectHttp2, SpiffeHttp2Client } from '../../../src/adapters/http2/index.js'
import { createHttpsServer, SpiffeHttpsAgent } from '../../../src/adapters/https/index.js'
import { createDispatcher } from '../../../src/adapters/undici/index.js'
import { authorizeAny, createTlsOptionsForClient } from '../../../src/tls/index.js'
import { codeOf, gullible, open, request, talk } from '../../tls/network.js'
import { TestCa } from '../../tls/test-ca.js'
import { TestSource } from '../../tls/test-source.js'

// Runs in a process of its own whose environment tells Node to believe everybody, and prints who was believed.
const a = await TestCa.create()
const b = await TestCa.create()
const source = new TestSource(await a.svid('spiffe://a.test/me'), a.bundle('a.test'), b.bundle('b.test'))
const { cert, key } = await b.leaf({ uris: ['spiffe://a.test/server'] })

const impostor = createSecureServer({ cert, key, allowHTTP1: true }, (_req, res) => res.end('fooled'))
const impostorPort = await open(impostor)
const authorize = authorizeAny()
const outcomes: Record<string, string | undefined> = {}
const note = async (name: string, call: Promise<unknown>) => {
  outcomes[name] = await call.then(() => 'fooled', codeOf)
}

// The setting is in force, or this shows nothing.
await note('plain', request({ port: impostorPort, agent: false }))
const agent = new SpiffeHttpsAgent(source, { authorize })
await note('agent', request({ port: impostorPort, agent }))
const dispatcher = createDispatcher(source, { authorize })
await note('undici', undiciRequest(`https://127.0.0.1:${impostorPort}`, { dispatcher }))
await note(
  'options',
  request({ port: impostorPort, agent: false, ...createTlsOptionsForClient(source, { authorize }) }),
)

const origin = `https://127.0.0.1:${impostorPort}`
const session = connectHttp2(source, origin, { authorize })
await note('connectHttp2', once(session, 'connect'))
const http2Client = new SpiffeHttp2Client(source, origin, { authorize })
// Node wraps what ended the session.
const answered = once(http2Client.request(), 'response').catch((error: unknown) =>
  Promise.reject((error as Error).cause as Error),
)
await note('SpiffeHttp2Client', answered)
const grpcClient = new Client(`127.0.0.1:${impostorPort}`, createGrpcChannelCredentials(source, { authorize }))
const ready = new Promise((resolve) => grpcClient.waitForReady(Date.now() + 2_000, resolve))
outcomes['grpc'] = (await ready) instanceof Error ? 'not connected' : 'fooled'

const server = createHttpsServer(source, { authorize }, (_req, res) => res.end('fooled'))
const port = await open(server)
const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
outcomes['server'] = (await talk({ ...gullible({ cert, key }), port }, get)).heard
outcomes['server, no certificate'] = (await talk({ ...gullible(), port }, get)).heard

process.stdout.write(JSON.stringify(outcomes))
process.exit(0)
