import { X509Certificate } from 'node:crypto'
import * as tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import {
  attachSpiffeToServer,
  authorizeAny,
  authorizeMemberOf,
  callerOf,
  createTlsOptionsForClient,
  createTlsOptionsForServer,
  type Authorize,
} from '../../src/tls/index.js'
import { codeOf, gullible, listen, talk } from '../tls/network.js'
import { TestSource } from '../tls/test-source.js'

const [td1, td2] = [new TestTrustDomain('td1'), new TestTrustDomain('td2')]
const bundles = [td1.bundle(), td2.bundle()]
const [me, served] = [td1.svid(), td1.svid()]

/** A server of td1 that tells each client who it is; `rejected` are the codes of those that it did not let in. */
async function start({ authorize = authorizeAny(), trusted = bundles } = {}) {
  const source = new TestSource(served, ...trusted)
  const rejected: (string | undefined)[] = []
  const made = createTlsOptionsForServer(source, { minVersion: 'TLSv1.2' })
  const server = tls.createServer(made, (socket) => {
    socket.on('error', () => undefined)
    socket.end(callerOf(socket)?.id.toString() ?? 'anonymous')
  })
  attachSpiffeToServer(server, source, { authorize, onRejected: (error) => rejected.push(codeOf(error)) })
  return { source, rejected, server, port: await listen(server) }
}

const call = (port: number, authorize: Authorize, trusted = bundles) =>
  talk({ ...createTlsOptionsForClient(new TestSource(me, ...trusted), { authorize }), port })
const pem = (svid: X509Svid) => ({ cert: svid.certificatesPem(), key: svid.privateKeyPem() })
const shows = (svid: X509Svid) => gullible(pem(svid))

describe('peers of a TLS connection', () => {
  test('F-202 a server that authorizes another trust domain cuts the client off', async () => {
    const { port, rejected } = await start({ authorize: authorizeMemberOf('td2') })
    expect((await talk({ ...shows(me), port })).heard).toBe('')
    expect(rejected).toEqual(['ERR_PEER_NOT_AUTHORIZED'])
    expect((await talk({ ...shows(td2.svid()), port })).heard).toBe('spiffe://td2/w')
  })
  test('F-203 a client that authorizes another trust domain refuses the server', async () => {
    const { port } = await start()
    const { heard, error } = await call(port, authorizeMemberOf('td2'))
    // It knows the authorities of td2 alone, so Node's own check is the first to refuse.
    expect([heard, codeOf(error)]).toEqual(['', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'])
    expect((await call(port, authorizeMemberOf('td1'))).heard).toBe('spiffe://td1/w')
  })
  test('F-205 a bundle of the right name with other roots proves nobody, on either side', async () => {
    const strange = [new TestTrustDomain('td1').bundle()]
    const server = await start({ trusted: strange })
    expect((await talk({ ...shows(me), port: server.port })).heard).toBe('')
    expect(server.rejected).toEqual(['ERR_X509_CHAIN_UNTRUSTED'])
    const { heard, error } = await call((await start()).port, authorizeAny(), strange)
    expect([heard, codeOf(error)]).toEqual(['', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'])
  })
  test('F-206 a client without a certificate is cut off', async () => {
    const { port, rejected } = await start()
    expect((await talk({ ...gullible(), port })).heard).toBe('')
    expect(rejected).toEqual(['ERR_PEER_NO_CERTIFICATE'])
  })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`F-208 a session of a trust domain that is federated no more opens no door (${version})`, async () => {
      const { port, source, server, rejected } = await start()
      // An application brings sessions back, which our options do without.
      const ticketKeys = Buffer.alloc(48, 7)
      server.setSecureContext({ ...pem(served), ca: td2.root.certificate.toPem(), ticketKeys })
      const options = { ...shows(td2.svid()), port, minVersion: version, maxVersion: version }
      const session = await new Promise<Buffer | undefined>((resolve) => {
        let offered: Buffer | undefined
        const socket = tls.connect(options)
        socket.on('session', (ticket: Buffer) => (offered = ticket))
        socket.on('error', () => undefined).on('close', () => resolve(offered))
        socket.resume()
      })
      expect([session instanceof Buffer, rejected]).toEqual([true, []])
      source.useQuietly(served, td1.bundle())
      expect((await talk({ ...options, ...(session && { session }) })).heard).toBe('')
      expect(rejected).toEqual(['ERR_SESSION_RESUMED'])
    })
  }
  test('F-209 the name of the host is in no certificate, and the connection is made', async () => {
    const { port } = await start()
    expect(new X509Certificate(td1.svid().leaf.der).subjectAltName).toBe('URI:spiffe://td1/w')
    expect((await call(port, 'spiffe://td1/w')).heard).toBe('spiffe://td1/w')
  })
})
