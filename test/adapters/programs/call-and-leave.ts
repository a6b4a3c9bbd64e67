import { once } from 'node:events'
import * as https from 'node:https'
import * as grpc from '@grpc/grpc-js'
import { request } from 'undici'
import { createGrpcChannelCredentials } from '../../../src/adapters/grpc/index.js'
import { SpiffeHttp2Client } from '../../../src/adapters/http2/index.js'
import { SpiffeHttpsAgent } from '../../../src/adapters/https/index.js'
import { createDispatcher } from '../../../src/adapters/undici/index.js'
import { X509Bundle } from '../../../src/bundle/index.js'
import { TrustDomain } from '../../../src/spiffe-id/index.js'
import { X509Svid } from '../../../src/svid/index.js'
import { TestSource } from '../../tls/test-source.js'

// Calls a server by every kind of client, closes nothing, and should come to its end all the same.
const { port, cert, key, ca } = JSON.parse(process.argv[2] ?? '') as Record<'port' | 'cert' | 'key' | 'ca', string>
const source = new TestSource(X509Svid.parsePem(cert, key), X509Bundle.parsePem(TrustDomain.parse('a.test'), ca))
const expected = { authorize: 'spiffe://a.test/server' }

const agent = new SpiffeHttpsAgent(source, expected)
const [response] = (await once(https.get({ host: '127.0.0.1', port, agent }), 'response')) as [NodeJS.ReadableStream]
for await (const chunk of response) process.stdout.write(chunk)

const dispatcher = createDispatcher(source, expected)
process.stdout.write(await (await request(`https://127.0.0.1:${port}`, { dispatcher })).body.text())

// Nothing but the request in progress holds the process here.
const client = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, expected)
for await (const chunk of client.request()) process.stdout.write(String(chunk))

const channel = new grpc.Client(`127.0.0.1:${port}`, createGrpcChannelCredentials(source, expected))
await new Promise((resolve) => channel.waitForReady(Date.now() + 5_000, resolve))
process.stdout.write('ready')
