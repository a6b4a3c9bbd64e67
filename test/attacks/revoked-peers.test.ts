import { once } from 'node:events'
import * as http2 from 'node:http2'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { X509Bundle } from '../../src/bundle/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { attachSpiffeToServer, authorizeAny, createTlsOptionsForServer } from '../../src/tls/index.js'
import { codeOf, gullible, listen } from '../tls/network.js'
import { TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { clientKinds, serverKinds } from './kinds.js'

const admin = 'spiffe://a.test/admin'
let a: TestCa
let revoked: Credential
let next: Credential
let before: X509Bundle
let after: X509Bundle

beforeAll(async () => {
  a = await TestCa.create()
  revoked = await a.leaf({ uris: [admin] })
  next = await a.leaf({ uris: [admin] })
  before = a.bundle('a.test')
  const crl = await a.crl(revoked.certificates[0]!)
  after = X509Bundle.fromAuthorities(TrustDomain.parse('a.test'), [a.certificate], [crl])
})

const newSource = async (bundle: X509Bundle) => new TestSource(await a.svid('spiffe://a.test/me'), bundle)

describe.each(serverKinds)('a server ($name)', ({ start, speak }) => {
  test('cuts off a client whose certificate was revoked, and no other', async () => {
    const { port, handled, rejected } = await start(await newSource(after))
    expect(await speak({ ...gullible(revoked), port })).toBe('')
    expect([handled, rejected]).toEqual([[], ['ERR_X509_SVID_REVOKED']])
    expect(await speak({ ...gullible(next), port })).not.toBe('')
    expect(handled).toHaveLength(1)
  })
})

describe.each(clientKinds)('a client ($name)', ({ call }) => {
  for (const [kind, authorize] of [
    ['the one it expects', admin],
    ['any', authorizeAny()],
  ] as const)
    test(`refuses a server whose certificate was revoked, and no other, expecting ${kind}`, async () => {
      const source = await newSource(after)
      for (const [{ cert, key }, heard] of [
        [revoked, undefined],
        [next, 'in'],
      ] as const) {
        const server = http2.createSecureServer({ cert, key, allowHTTP1: true }, (req, res) => {
          if (req.httpVersionMajor === 1) res.setHeader('connection', 'close')
          res.end('in')
        })
        const answer = await call(source, authorize, await listen(server)).catch(() => undefined)
        if (heard === undefined) expect(answer).toBeUndefined()
        else expect(answer).toContain(heard)
      }
    })
})

test('a revocation ends the connections of whom it names', async () => {
  const source = await newSource(before)
  const rejected: unknown[] = []
  const server = tls.createServer(createTlsOptionsForServer(source))
  const onRejected = (error: Error) => void rejected.push(codeOf(error))
  attachSpiffeToServer(server, source, { authorize: authorizeAny(), onRejected })
  const port = await listen(server)
  const admit = async (credential: Credential) => {
    const socket = tls.connect({ ...gullible(credential), port }).resume()
    onTestFinished(() => void socket.destroy())
    await Promise.all([once(socket, 'secureConnect'), once(server, 'secureConnection')])
    return socket
  }
  const [bad, good] = [await admit(revoked), await admit(next)]
  source.use(source.getX509Svid(), after)
  await once(bad, 'close')
  expect(rejected).toEqual(['ERR_X509_SVID_REVOKED'])
  expect(good.destroyed).toBe(false)
})
