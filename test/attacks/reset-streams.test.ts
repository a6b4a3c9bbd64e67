import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { gullible, listen } from '../tls/network.js'
import { TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { frame, postToA, preface } from './frames.js'
import { http2ServerKinds } from './h2.js'

let a: TestCa
let client: Credential

beforeAll(async () => {
  a = await TestCa.create()
  client = await a.leaf({ uris: ['spiffe://a.test/client'] })
})

/** Hands connections on as streams of JavaScript, as who takes a PROXY protocol header off does. */
async function listenInFront(server: tls.Server): Promise<number> {
  return listen(createServer((raw) => void server.emit('connection', inJavaScript(raw))))
}

function inJavaScript(raw: Socket): Duplex {
  const duplex = new Duplex({
    read: () => void raw.resume(),
    write: (chunk, _encoding, done) => void raw.write(chunk as Buffer, done),
    final: (done) => void raw.end(done),
    destroy(error, done) {
      raw.destroy()
      done(error)
    },
  })
  raw.on('data', (chunk) => duplex.push(chunk))
  raw.on('end', () => duplex.push(null))
  raw.on('error', () => duplex.destroy())
  return duplex
}

/** Such streams are gone before the server is told of them. An answer to one throws, and would end the process. */
const openAndReset = [
  { stream: 1, code: 8 /* CANCEL */ },
  { stream: 3, code: 2 /* INTERNAL_ERROR, which Node tells the stream as an error */ },
].flatMap(({ stream, code }) => [frame('HEADERS', stream, postToA), frame('RST_STREAM', stream, [0, 0, 0, code])])

describe.each(http2ServerKinds)('a request that is reset in the same breath ends no process ($name)', (kind) => {
  for (const [who, authorize] of [
    ['a stranger', 'spiffe://a.test/other'],
    ['an authorized client', 'spiffe://a.test/client'],
  ] as const)
    test(`from ${who}`, async () => {
      const uncaught: unknown[] = []
      const listener = (error: unknown) => void uncaught.push(error)
      process.on('uncaughtException', listener)
      onTestFinished(() => void process.off('uncaughtException', listener))
      const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
      const { server, handled } = await kind.start(source, { authorize })
      const port = await listenInFront(server)
      const socket = tls.connect({ ...gullible(client), port, ALPNProtocols: ['h2'] })
      onTestFinished(() => void socket.destroy())
      socket.on('error', () => undefined)
      let heard = Buffer.alloc(0)
      socket.on('data', (chunk: Buffer) => (heard = Buffer.concat([heard, chunk])))
      await once(socket, 'secureConnect')
      const ping = [1, 2, 3, 4, 5, 6, 7, 8]
      socket.write(Buffer.concat([preface, frame('SETTINGS', 0), ...openAndReset, frame('PING', 0, ping)]))
      await expect.poll(() => heard.includes(Buffer.from(ping))).toBe(true)
      expect([handled, uncaught]).toEqual([[], []])
    })
})
