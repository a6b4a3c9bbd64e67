import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { buildProgram } from '../tls/program.js'

test('NODE_TLS_REJECT_UNAUTHORIZED=0 convinces nobody', async () => {
  const program = await buildProgram(join(import.meta.dirname, 'programs/careless-environment.ts'))
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  const { stdout } = await promisify(execFile)(process.execPath, [program], { env })
  expect(JSON.parse(stdout)).toEqual({
    plain: 'fooled',
    agent: 'ERR_X509_CHAIN_UNTRUSTED',
    undici: 'ERR_X509_CHAIN_UNTRUSTED',
    options: 'ERR_X509_CHAIN_UNTRUSTED',
    connectHttp2: 'ERR_X509_CHAIN_UNTRUSTED',
    SpiffeHttp2Client: 'ERR_X509_CHAIN_UNTRUSTED',
    grpc: 'not connected',
    server: '',
    'server, no certificate': '',
  })
})
