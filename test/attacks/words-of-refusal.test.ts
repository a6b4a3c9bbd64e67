import * as http2 from 'node:http2'
import { inspect } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { UntrustedPeerError } from '../../src/errors/index.js'
import { SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { codeOf, listen, request } from '../tls/network.js'
import { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { clientKinds } from './kinds.js'

let source: TestSource
let port: () => Promise<number>

beforeAll(async () => {
  const [a, stranger] = await Promise.all([TestCa.create(), TestCa.create()])
  source = new TestSource(await a.svid('spiffe://a.test/client'), a.bundle('a.test'))
  const { cert, key } = await stranger.svid('spiffe://a.test/server').then((svid) => ({
    cert: svid.certificatesPem(),
    key: svid.privateKeyPem(),
  }))
  port = () => listen(http2.createSecureServer({ cert, key, allowHTTP1: true }))
})

const native = 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'

test.each(clientKinds)('$name says why it refuses a server of an unknown authority', async ({ name, call }) => {
  const error: unknown = await call(source, 'spiffe://a.test/server', await port()).catch((cause: unknown) => cause)
  if (name === 'tls.connect') {
    // Here Node's own socket is in the hands of the application; it leaves no way to add to its words.
    expect(codeOf(error)).toBe(native)
  } else if (name === 'grpc') {
    // grpc-js keeps the message of an error only.
    expect(inspect(error)).toContain("leads to no authority that its trust domain's bundle holds")
    expect(inspect(error)).toContain(native)
  } else {
    const refusal = untrustedIn(error)
    expect(refusal.code).toBe('ERR_X509_CHAIN_UNTRUSTED')
    expect(refusal.cause).toMatchObject({ code: native })
  }
})

test('an ordinary web server is refused in the words of Node', async () => {
  const agent = new SpiffeHttpsAgent(source, { webServer: true })
  await expect(request({ port: await port(), agent })).rejects.toMatchObject({ code: native })
})

function untrustedIn(error: unknown): UntrustedPeerError {
  if (error instanceof UntrustedPeerError) return error
  if (error instanceof Error && error.cause) return untrustedIn(error.cause)
  throw new Error(`expected an UntrustedPeerError, found ${inspect(error)}`)
}
