import { setImmediate as turn } from 'node:timers/promises'
import { createSecureContext, createServer } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { attachSpiffeToServer, authorizeAny, createTlsOptionsForServer } from '../../../src/tls/index.js'
import { codeOf, gullible, open, talk } from '../../tls/network.js'
import { TestCa } from '../../tls/test-ca.js'
import { TestSource } from '../../tls/test-source.js'

// Runs in a process of its own, whose memory shows what clients leave behind that send many certificates. Prints how much
// that was, and what they were refused with.
const a = await TestCa.create()
const source = new TestSource(await a.svid('spiffe://a.test/me'), a.bundle('a.test'))
const stranger = await TestCa.create({ issuer: await TestCa.create() })
const { cert, key } = await stranger.leaf({ uris: ['spiffe://a.test/me'] }, Array<TestCa>(100).fill(stranger))
const secureContext = createSecureContext({ cert, key })

const refused: Record<string, number> = {}
const server = createServer(createTlsOptionsForServer(source))
attachSpiffeToServer(server, source, {
  authorize: authorizeAny(),
  onRejected(error) {
    const code = String(codeOf(error))
    refused[code] = (refused[code] ?? 0) + 1
  },
})
const port = await open(server)

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
async function memoryAfter(connections: number): Promise<number> {
  for (let i = 0; i < connections; i++) await talk({ ...gullible(), secureContext, port })
  for (let round = 0; round < 3; round++) {
    gc()
    await turn()
  }
  return process.memoryUsage.rss()
}

const before = await memoryAfter(40)
const leftBehind = (await memoryAfter(40)) - before
process.stdout.write(JSON.stringify({ leftBehind, refused }))
process.exit(0)
