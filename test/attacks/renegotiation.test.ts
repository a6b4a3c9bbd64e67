import { once } from 'node:events'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { gullible, listen } from '../tls/network.js'
import { TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { serverKinds } from './kinds.js'

let a: TestCa
let client: Credential

beforeAll(async () => {
  a = await TestCa.create()
  client = await a.leaf({ uris: ['spiffe://a.test/client'] })
})

/** Only TLS 1.2 has it. Resolves once the server's side of the handshake is over as well. */
async function connect(port: number): Promise<tls.TLSSocket> {
  const options = { ...gullible(client), maxVersion: 'TLSv1.2', ALPNProtocols: ['h2', 'http/1.1'] } as const
  const socket = tls.connect({ ...options, port })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined).resume()
  await once(socket, 'secureConnect')
  return socket
}

function renegotiate(socket: tls.TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve('cut off'))
    socket.renegotiate({ rejectUnauthorized: false }, (error) => error ?? resolve('renegotiated'))
  })
}

describe('a handshake that the client repeats cuts it off: nobody gets a second say', () => {
  for (const kind of serverKinds)
    test(`on ${kind.name}`, async () => {
      const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
      const { port, handled } = await kind.start(source, { minVersion: 'TLSv1.2' })
      expect(await renegotiate(await connect(port))).toBe('cut off')
      expect(handled).toEqual([])
    })
})

test('a server of Node does let it, or the tests above show nothing', async () => {
  const { cert, key } = await a.leaf({ uris: ['spiffe://a.test/server'] })
  const port = await listen(tls.createServer({ cert, key, requestCert: true, rejectUnauthorized: false }))
  expect(await renegotiate(await connect(port))).toBe('renegotiated')
})
