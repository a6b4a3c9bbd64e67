import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createHttp2Server } from '../../src/adapters/http2/index.js'
import { authorizeAny } from '../../src/tls/index.js'
import { listen } from '../tls/network.js'
import { buildProgram } from '../tls/program.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

test('idle clients of every kind let a process end, requests in progress hold it', async () => {
  const a = await TestCa.create()
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  const server = createHttp2Server(source, { authorize: authorizeAny(), allowHTTP1: true }, (_req, res) => {
    setTimeout(() => void res.end('answer '), 50)
  })
  const port = await listen(server)
  const { cert, key } = await a.leaf({ uris: ['spiffe://a.test/client'] })
  const program = await buildProgram(join(import.meta.dirname, 'programs/call-and-leave.ts'))
  const given = JSON.stringify({ port, cert, key, ca: a.certificate.toPem() })
  const { stdout } = await promisify(execFile)(process.execPath, [program, given], { timeout: 15_000 })
  expect(stdout).toBe('answer answer answer ready')
})
