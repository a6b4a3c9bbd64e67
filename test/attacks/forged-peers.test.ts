import * as http2 from 'node:http2'
import * as tls from 'node:tls'
import { inspect } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { authorizeAny } from '../../src/tls/index.js'
import { gullible, listen, talk } from '../tls/network.js'
import { ExtendedKeyUsage, KeyUsageFlags, TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { clientKinds, serverKinds } from './kinds.js'

const admin = 'spiffe://a.test/admin'

/** A's root and intermediate, an intermediate of A that has expired, and B, a federated trust domain that turned bad. */
let a: TestCa
let intermediate: TestCa
let expiredIntermediate: TestCa
let b: TestCa
let source: TestSource

/** Certificates that claim to be A's admin, or come close to it, and must convince nobody. */
let forged: Map<string, Credential>
let honest: Credential

beforeAll(async () => {
  a = await TestCa.create({ subject: 'CN=root of a' })
  b = await TestCa.create({ subject: 'CN=root of b' })
  const hour = 3_600_000
  intermediate = await TestCa.create({ issuer: a, subject: 'CN=intermediate of a' })
  expiredIntermediate = await TestCa.create({
    issuer: a,
    subject: 'CN=intermediate of a',
    notBefore: new Date(Date.now() - 3 * hour),
    notAfter: new Date(Date.now() - hour),
  })
  // B names an intermediate of its own as A names its own.
  const imitation = await TestCa.create({ issuer: b, subject: 'CN=intermediate of a' })
  source = new TestSource(await intermediate.svid('spiffe://a.test/me'), a.bundle('a.test'), b.bundle('b.test'))
  honest = await intermediate.leaf({ uris: [admin] })
  const past = { notBefore: new Date(Date.now() - 2 * hour), notAfter: new Date(Date.now() - hour) }
  const future = { notBefore: new Date(Date.now() + hour), notAfter: new Date(Date.now() + 2 * hour) }
  forged = new Map([
    ["B's CA mints A's ID", await b.leaf({ uris: [admin] })],
    ["B's intermediate mints A's ID", await (await TestCa.create({ issuer: b })).leaf({ uris: [admin] })],
    [
      "B hides behind A's expired intermediate",
      await imitation.leaf({ uris: [admin] }, [expiredIntermediate, imitation]),
    ],
    [
      "B hides behind A's expired intermediate, the other way round",
      await imitation.leaf({ uris: [admin] }, [imitation, expiredIntermediate]),
    ],
    ["B hides behind A's valid intermediate", await imitation.leaf({ uris: [admin] }, [intermediate, imitation])],
    ["B sends A's root along", await b.leaf({ uris: [admin] }, [a, b])],
    ["A's expired intermediate issued it", await expiredIntermediate.leaf({ uris: [admin] })],
    ['nobody knows its root', await (await TestCa.create()).leaf({ uris: [admin] })],
    [
      'an unknown root has the name of the right one',
      await (await TestCa.create({ subject: a.subject })).leaf({ uris: [admin] }),
    ],
    ['it has expired', await a.leaf({ uris: [admin], ...past })],
    ['it is not valid yet', await a.leaf({ uris: [admin], ...future })],
    ['it has two URI names', await a.leaf({ uris: ['spiffe://a.test/other', admin] })],
    ['it has no URI name', await a.leaf({ uris: [], dnsNames: ['admin.a.test'] })],
    ['a DNS name spells a SPIFFE ID', await a.leaf({ uris: [], dnsNames: [`x, URI:${admin}`] })],
    ['its URI is none of SPIFFE', await a.leaf({ uris: ['https://a.test/admin'] })],
    ['its ID has no path', await a.leaf({ uris: ['spiffe://a.test'] })],
    ['its ID has a port', await a.leaf({ uris: ['spiffe://a.test:8443/admin'] })],
    ['it is a CA', await a.leaf({ uris: [admin], ca: true })],
    [
      'it may sign certificates',
      await a.leaf({ uris: [admin], keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign }),
    ],
    ['it may only encipher', await a.leaf({ uris: [admin], keyUsage: KeyUsageFlags.keyEncipherment })],
    ['it may only sign code', await a.leaf({ uris: [admin], extKeyUsage: [ExtendedKeyUsage.codeSigning] })],
    ['a leaf signed it', await leafSignedByALeaf()],
  ])
})

async function leafSignedByALeaf(): Promise<Credential> {
  const leaf = await TestCa.create({ issuer: a, leaf: true })
  return leaf.leaf({ uris: [admin] })
}

/** Each with the code that a server reports. */
const names = {
  "B's CA mints A's ID": 'ERR_X509_CHAIN_UNTRUSTED',
  "B's intermediate mints A's ID": 'ERR_X509_CHAIN_UNTRUSTED',
  "B hides behind A's expired intermediate": 'ERR_X509_CHAIN_UNTRUSTED',
  "B hides behind A's expired intermediate, the other way round": 'ERR_X509_CHAIN_UNTRUSTED',
  "B hides behind A's valid intermediate": 'ERR_X509_CHAIN_UNTRUSTED',
  "B sends A's root along": 'ERR_X509_CHAIN_UNTRUSTED',
  "A's expired intermediate issued it": 'ERR_X509_SVID_EXPIRED',
  'nobody knows its root': 'ERR_X509_CHAIN_UNTRUSTED',
  'an unknown root has the name of the right one': 'ERR_X509_CHAIN_UNTRUSTED',
  'it has expired': 'ERR_X509_SVID_EXPIRED',
  'it is not valid yet': 'ERR_X509_SVID_NOT_YET_VALID',
  'it has two URI names': 'ERR_X509_SVID_MALFORMED',
  'it has no URI name': 'ERR_X509_SVID_MALFORMED',
  'a DNS name spells a SPIFFE ID': 'ERR_X509_SVID_MALFORMED',
  'its URI is none of SPIFFE': 'ERR_X509_SVID_MALFORMED',
  'its ID has no path': 'ERR_X509_SVID_MALFORMED',
  'its ID has a port': 'ERR_X509_SVID_MALFORMED',
  'it is a CA': 'ERR_X509_SVID_MALFORMED',
  'it may sign certificates': 'ERR_X509_SVID_MALFORMED',
  'it may only encipher': 'ERR_X509_SVID_MALFORMED',
  'it may only sign code': 'ERR_X509_CHAIN_UNTRUSTED',
  'a leaf signed it': 'ERR_X509_CHAIN_UNTRUSTED',
} as const

test('every forged certificate has a test', () => expect([...forged.keys()]).toEqual(Object.keys(names)))

// Without this, a mistake in the certificates would make every test below pass.
test.each(["B's CA mints A's ID", "B hides behind A's expired intermediate", 'it has two URI names', 'it is a CA'])(
  'Node alone believes the forgery: %s',
  async (name) => {
    const { cert, key } = honest
    const ca = [a, b].map((root) => root.certificate.toPem())
    const server = tls.createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (s) => s.end('in'))
    const port = await listen(server)
    expect((await talk({ ...gullible(forged.get(name)), port })).heard).toBe('in')
  },
)

describe.each(serverKinds)('a server ($name) cuts a client off when', ({ start, speak }) => {
  for (const [name, code] of [...Object.entries(names), ['it may only serve', 'ERR_X509_CHAIN_UNTRUSTED'] as const])
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      test(`${name} (${version})`, async () => {
        const credential =
          forged.get(name) ?? (await a.leaf({ uris: [admin], extKeyUsage: [ExtendedKeyUsage.serverAuth] }))
        const { port, handled, rejected } = await start(source, { minVersion: 'TLSv1.2' })
        expect(await speak({ ...gullible(credential), port, maxVersion: version })).toBe('')
        expect(handled).toEqual([])
        expect(rejected).toEqual([code])
      })

  test('it shows no certificate', async () => {
    const { port, handled, rejected } = await start(source)
    expect(await speak({ ...gullible(), port })).toBe('')
    expect(handled).toEqual([])
    expect(rejected).toEqual(['ERR_PEER_NO_CERTIFICATE'])
  })

  test('its certificate convinces nobody, although none is required', async () => {
    const { port, handled } = await start(source, { clients: 'optional' })
    expect(await speak({ ...gullible(forged.get("B's CA mints A's ID")), port })).toBe('')
    expect(handled).toEqual([])
  })

  test('but not otherwise', async () => {
    const { port, handled } = await start(source)
    expect(await speak({ ...gullible(honest), port })).toMatch(/in|^200/)
    expect(handled).toHaveLength(1)
  })
})

describe.each(clientKinds)('a client ($name) refuses a server when', ({ call }) => {
  async function serve({ cert, key }: Credential) {
    const handled: string[] = []
    const server = http2.createSecureServer({ cert, key, allowHTTP1: true }, (req, res) => {
      handled.push(req.url)
      if (req.httpVersionMajor === 1) res.setHeader('connection', 'close')
      res.end('in')
    })
    return { port: await listen(server), handled }
  }

  for (const [kind, authorize] of [
    ['the one it expects', admin],
    ['any', authorizeAny()],
  ] as const) {
    for (const name of [...Object.keys(names), 'it may only call'])
      test(`${name}, expecting ${kind}`, async () => {
        const credential =
          forged.get(name) ?? (await a.leaf({ uris: [admin], extKeyUsage: [ExtendedKeyUsage.clientAuth] }))
        const { port, handled } = await serve(credential)
        const error: unknown = await call(source, authorize, port).then(
          (answer) => `answered ${answer}`,
          (cause: unknown) => cause,
        )
        expect(error).toBeInstanceOf(Error)
        expect(handled).toEqual([])
      })

    test(`but not otherwise, expecting ${kind}`, async () => {
      const { port, handled } = await serve(honest)
      expect(await call(source, authorize, port)).toContain('in')
      expect(handled).toHaveLength(1)
    })
  }

  test('the authorizer answers with a promise', async () => {
    const { port, handled } = await serve(honest)
    const error: unknown = await call(source, (() => Promise.resolve(true)) as never, port).catch((e: unknown) => e)
    expect(inspect(error)).toMatch(/ERR_PEER_NOT_AUTHORIZED|authorizer answered with a promise/)
    expect(handled).toEqual([])
  })

  test('the authorizer is asynchronous, at set-up', async () => {
    const asynchronous = (async () => Promise.resolve(true)) as never
    await expect(async () => call(source, asynchronous, 1)).rejects.toMatchObject({ code: 'ERR_AUTHORIZER_INVALID' })
  })
})

describe.each(serverKinds)('a server ($name) lets no request pass when', ({ start, speak, denied }) => {
  for (const [reason, authorize] of [
    ['the authorizer says no', () => false],
    ['the authorizer answers with a promise', () => Promise.resolve(true)],
    [
      'the authorizer throws',
      () => {
        throw new Error('no')
      },
    ],
  ] as const)
    test(reason, async () => {
      const { port, handled } = await start(source, { authorize: authorize as never })
      expect(await speak({ ...gullible(honest), port })).toMatch(denied)
      expect(handled).toEqual([])
    })

  test('the authorizer is asynchronous, at set-up', () =>
    expect(start(source, { authorize: (async () => Promise.resolve(true)) as never })).rejects.toMatchObject({
      code: 'ERR_AUTHORIZER_INVALID',
    }))
})
