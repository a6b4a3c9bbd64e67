import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { connect, createServer } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { attachSpiffeToServer, authorizeAny, createTlsOptionsForServer, peerId } from '../../src/tls/index.js'
import { gullible, listen } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { programOf } from './debian-package.js'

test('a client that renegotiates TLS 1.2 is cut off, and its identity stays what it was', async () => {
  const openssl = await programOf('openssl', 'openssl')
  const a = await TestCa.create()
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  const server = createServer(createTlsOptionsForServer(source), (socket) => socket.write('welcome\n'))
  attachSpiffeToServer(server, source, { authorize: authorizeAny(), minVersion: 'TLSv1.2' })
  const port = await listen(server)

  const directory = await mkdtemp(join(tmpdir(), 'renegotiation-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const client = await a.leaf({ uris: ['spiffe://a.test/client'] })
  const file = join(directory, 'client.pem')
  await writeFile(file, client.cert + client.key)

  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const child = spawn(openssl, ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_2', '-cert', file, '-key', file])
  onTestFinished(() => void child.kill())
  const [socket] = await accepted
  const closed = new Promise((resolve) => socket.on('close', resolve))
  for await (const chunk of child.stdout) if (String(chunk).includes('welcome')) break
  child.stdin.write('R\n')
  await closed
  expect(peerId(socket).toString()).toBe('spiffe://a.test/client')

  // The server has survived it.
  const next = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const again = connect({ ...gullible(client), port }).on('error', () => undefined)
  onTestFinished(() => void again.destroy())
  expect(peerId((await next)[0]).toString()).toBe('spiffe://a.test/client')
})
