import { once } from 'node:events'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { VerifiedPaths } from '../../src/svid/verified-paths.js'
import {
  authorizeAny,
  authorizeMemberOf,
  createTlsOptionsForClient,
  peerId,
  recheckPeer,
  type Authorize,
  type ClientTlsOptions,
  type IdentitySource,
} from '../../src/tls/index.js'
import { codeOf, listen } from './network.js'
import { TestCa, type Credential } from './test-ca.js'
import { TestSource } from './test-source.js'

let a: TestCa
let b: TestCa
let source: TestSource

beforeAll(async () => {
  a = await TestCa.create()
  b = await TestCa.create()
})

async function newSource() {
  source = new TestSource(await a.svid('spiffe://a.test/client'), a.bundle('a.test'), b.bundle('b.test'))
  return source
}

/** A server that knows nothing of SPIFFE, and tells which certificate each client showed. */
async function serve(credential: Credential, more: tls.TlsOptions = {}) {
  const { cert, key } = credential
  const server = tls.createServer({ cert, key, requestCert: true, rejectUnauthorized: false, ...more }, (socket) => {
    socket.on('error', () => undefined)
    socket.end(socket.getPeerCertificate().serialNumber.toLowerCase())
  })
  return listen(server)
}

async function connect(port: number, options: ClientTlsOptions, more: tls.ConnectionOptions = {}) {
  const tlsOptions = createTlsOptionsForClient(source, options)
  const socket = tls.connect({ host: '127.0.0.1', port, ...tlsOptions, ...more })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

async function shownSerial(socket: tls.TLSSocket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

describe('a TLS client', () => {
  test('proves the server it names, and presents its SVID', async () => {
    await newSource()
    const port = await serve(await a.leaf({ uris: ['spiffe://a.test/server'] }))
    const socket = await connect(port, { authorize: 'spiffe://a.test/server' })
    expect(peerId(socket).toString()).toBe('spiffe://a.test/server')
    expect(await shownSerial(socket)).toBe(source.getX509Svid().serialNumber)
  })

  for (const [kind, authorize] of [
    ['one trust domain', authorizeMemberOf('b.test')],
    ['any trust domain', authorizeAny()],
  ] as const)
    test(`proves a federated server behind intermediates, with roots of ${kind}`, async () => {
      await newSource()
      const issuer = await TestCa.create({ issuer: await TestCa.create({ issuer: b }) })
      const port = await serve(await issuer.leaf({ uris: ['spiffe://b.test/server'] }))
      const socket = await connect(port, { authorize })
      expect(peerId(socket).toString()).toBe('spiffe://b.test/server')
    })

  test('finds the right one of two roots that share a name', async () => {
    const named = (keyId: string) => TestCa.create({ subject: 'O=SPIFFE', keyId: keyId.repeat(40) })
    const roots = [await named('1'), await named('2')] as const
    for (const [first, second] of [roots, [roots[1], roots[0]] as const])
      for (const authorize of [authorizeMemberOf('c.test'), authorizeAny()]) {
        source = new TestSource(await a.svid('spiffe://a.test/client'), first.bundle('c.test', second))
        const port = await serve(await roots[0].leaf({ uris: ['spiffe://c.test/server'] }))
        const socket = await connect(port, { authorize })
        expect(peerId(socket).toString()).toBe('spiffe://c.test/server')
      }
  })

  test('takes an authority that is not self-signed for an anchor', async () => {
    const middle = await TestCa.create({ issuer: await TestCa.create() })
    source = new TestSource(await a.svid('spiffe://a.test/client'), middle.bundle('c.test'))
    const port = await serve(await middle.leaf({ uris: ['spiffe://c.test/server'] }))
    const socket = await connect(port, { authorize: 'spiffe://c.test/server' })
    expect(peerId(socket).toString()).toBe('spiffe://c.test/server')
  })

  for (const [reason, authorize, uri, code] of [
    ['another ID', 'spiffe://a.test/server', 'spiffe://a.test/other', 'ERR_PEER_NOT_AUTHORIZED'],
    [
      'another ID, any domain loaded',
      (id: unknown) => String(id) === 'x',
      'spiffe://a.test/other',
      'ERR_PEER_NOT_AUTHORIZED',
    ],
    ['an authorizer that throws', () => JSON.parse('') as boolean, 'spiffe://a.test/other', 'ERR_PEER_NOT_AUTHORIZED'],
    ['another trust domain', 'spiffe://b.test/server', 'spiffe://a.test/server', /^UNABLE_TO_/],
    ['a trust domain without bundle', 'spiffe://nowhere.test/server', 'spiffe://a.test/server', 'ERR_BUNDLE_NOT_FOUND'],
  ] as const)
    test(`refuses a server: ${reason}`, async () => {
      await newSource()
      const port = await serve(await a.leaf({ uris: [uri] }))
      const refusal = await connect(port, { authorize }).catch(codeOf)
      expect(refusal).toMatch(code)
    })

  test('host names play no part, unless asked for', async () => {
    await newSource()
    const named = await serve(await a.leaf({ uris: ['spiffe://a.test/server'], dnsNames: ['good.test'] }))
    const options = { authorize: 'spiffe://a.test/server', checkHostname: true } as const
    await connect(named, { authorize: options.authorize }, { servername: 'bad.test' })
    await connect(named, options, { servername: 'good.test' })
    await expect(connect(named, options, { servername: 'bad.test' })).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
  })

  test('without a list of bundles, any means the own trust domain', async () => {
    await newSource()
    const bare: IdentitySource = {
      getX509Svid: () => source.getX509Svid(),
      getX509Bundle: (trustDomain) => source.getX509Bundle(trustDomain),
    }
    const tlsOptions = createTlsOptionsForClient(bare, { authorize: authorizeAny() })
    for (const [ca, id, ok] of [
      [a, 'spiffe://a.test/server', true],
      [b, 'spiffe://b.test/server', false],
    ] as const) {
      const port = await serve(await ca.leaf({ uris: [id] }))
      const socket = tls.connect({ host: '127.0.0.1', port, ...tlsOptions })
      onTestFinished(() => void socket.destroy())
      if (ok) await once(socket, 'secureConnect')
      else await expect(once(socket, 'secureConnect')).rejects.toThrow()
    }
  })

  test('judges its server again, and proves it again only where the bundle is another object', async () => {
    await newSource()
    const port = await serve(await a.leaf({ uris: ['spiffe://a.test/server'] }))
    const socket = await connect(port, { authorize: authorizeAny() })
    const [svid, newer] = [source.getX509Svid(), a.bundle('a.test')]
    const proofs = vi.spyOn(VerifiedPaths.prototype, 'find')
    onTestFinished(() => proofs.mockRestore())
    const judged = (authorize: Authorize = authorizeAny()) => {
      const refusal = recheckPeer(socket, source, authorize)
      return [codeOf(refusal), proofs.mock.calls.length]
    }
    expect(judged()).toEqual([undefined, 0])
    expect(judged('spiffe://a.test/other')).toEqual(['ERR_PEER_NOT_AUTHORIZED', 0])
    source.use(svid, newer)
    expect(judged()).toEqual([undefined, 1])
    expect(judged()).toEqual([undefined, 1])
    source.use(svid, b.bundle('a.test'))
    expect(judged()).toEqual(['ERR_X509_CHAIN_UNTRUSTED', 2])
    expect(judged()).toEqual(['ERR_X509_CHAIN_UNTRUSTED', 3])
    source.use(svid, newer)
    expect(judged()).toEqual([undefined, 3])
  })

  describe('judged again after its authority was renewed, a server', () => {
    const minutes = (count: number) => new Date(Date.now() + count * 60_000)

    // In minutes from when it connected. Its own certificate runs out after 60.
    for (const [outcome, renewed, now] of [
      ['stays: the certificate of the authority began after it connected', 5, 10],
      ['stays: its own certificate has run out since', 5, 120],
      ['stays: the clock was set back', -60, -240],
      ['goes: the authority is valid only after its certificate has run out', 90, 120],
    ] as const)
      test(outcome, async () => {
        await newSource()
        const port = await serve(await a.leaf({ uris: ['spiffe://a.test/server'] }))
        const socket = await connect(port, { authorize: authorizeAny() })
        const authority = await TestCa.create({ renews: a, notBefore: minutes(renewed), notAfter: minutes(9_999) })
        source.use(source.getX509Svid(), authority.bundle('a.test'))
        vi.useFakeTimers({ toFake: ['Date'], now: minutes(now) })
        onTestFinished(() => void vi.useRealTimers())
        const code = outcome.startsWith('stays') ? undefined : 'ERR_X509_SVID_NOT_YET_VALID'
        expect(codeOf(recheckPeer(socket, source, authorizeAny()))).toBe(code)
      })
  })

  test('without authorize it cannot be made', async () => {
    await newSource()
    expect(() => createTlsOptionsForClient(source, {} as never)).toThrow(
      expect.objectContaining({ code: 'ERR_AUTHORIZER_REQUIRED' }),
    )
  })

  test('throws the reason when the source has no valid SVID', async () => {
    await newSource()
    source.use(new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'expired'))
    await expect(connect(1, { authorize: authorizeAny() })).rejects.toMatchObject({ code: 'ERR_X509_SVID_EXPIRED' })
  })
})

describe('the live context', () => {
  // Everything that is fresh on the client rests on Node reading `secureContext.context` for each connection.
  test('one options object shows the newest SVID on each connection', async () => {
    await newSource()
    const port = await serve(await a.leaf({ uris: ['spiffe://a.test/server'] }))
    const options = { host: '127.0.0.1', port, ...createTlsOptionsForClient(source, { authorize: authorizeAny() }) }
    for (let i = 0; i < 3; i++) {
      const socket = tls.connect(options)
      expect(await shownSerial(socket)).toBe(source.getX509Svid().serialNumber)
      source.useQuietly(await a.svid('spiffe://a.test/client'))
    }
  })

  test('new roots count at once', async () => {
    await newSource()
    const next = await TestCa.create()
    const options = createTlsOptionsForClient(source, { authorize: 'spiffe://a.test/server' })
    const port = await serve(await next.leaf({ uris: ['spiffe://a.test/server'] }))
    const attempt = () => once(tls.connect({ host: '127.0.0.1', port, ...options }).resume(), 'secureConnect')
    await expect(attempt()).rejects.toThrow()
    source.useQuietly(source.getX509Svid(), a.bundle('a.test', next))
    await attempt()
    source.useQuietly(source.getX509Svid(), a.bundle('a.test'))
    await expect(attempt()).rejects.toThrow()
  })

  test('is built once for each generation, not for each connection', async () => {
    await newSource()
    const { secureContext } = createTlsOptionsForClient(source, { authorize: authorizeAny() })
    const first: unknown = secureContext.context
    expect(secureContext.context).toBe(first)
    source.use(await a.svid('spiffe://a.test/client'))
    expect(secureContext.context).not.toBe(first)
  })

  test('is one for all clients of a source that load the same, and for no others', async () => {
    await newSource()
    const contextFor = (options: ClientTlsOptions): unknown =>
      createTlsOptionsForClient(source, options).secureContext.context
    const web = await TestCa.create()
    const different: ClientTlsOptions[] = [
      { authorize: 'spiffe://a.test/server' },
      { authorize: authorizeAny() },
      { authorize: 'spiffe://a.test/server', minVersion: 'TLSv1.2' },
      { authorize: 'spiffe://a.test/server', ciphers: 'TLS_AES_256_GCM_SHA384' },
      { authorize: 'spiffe://a.test/server', ecdhCurve: 'P-521' },
      { authorize: 'spiffe://a.test/server', sigalgs: 'ecdsa_secp256r1_sha256' },
      { webServer: true },
      { webServer: { ca: [web.certificate.toPem()] } },
      { webServer: { ca: [a.certificate.toPem()] } },
    ]
    const contexts = different.map(contextFor)
    expect(new Set(contexts).size).toBe(different.length)
    expect(different.map(contextFor).every((again, i) => again === contexts[i])).toBe(true)
    expect(contextFor({ authorize: authorizeMemberOf('a.test') })).toBe(contexts[0])

    source.useQuietly(source.getX509Svid(), a.bundle('a.test'), b.bundle('b.test'))
    expect(contexts).not.toContain(contextFor({ authorize: 'spiffe://a.test/server' }))
  })
})

describe('an ordinary web server', () => {
  test('cannot be authorized by a SPIFFE ID as well', async () => {
    await newSource()
    const both = { webServer: true, authorize: 'spiffe://a.test/server' } as never
    expect(() => createTlsOptionsForClient(source, both)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
  })

  for (const webServer of [{}, { ca: undefined }, { ca: [] }, { ca: 'PEM' }, 'yes', 1] as never[])
    test(`is trusted by the web's roots for true only, not for ${JSON.stringify(webServer)}`, async () => {
      await newSource()
      expect(() => createTlsOptionsForClient(source, { webServer })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
    })

  test('refuses a minVersion that is none or broken', async () => {
    await newSource()
    for (const minVersion of ['TLSv1', 'TLSv1.1', '1.3'] as never[]) {
      expect(() => createTlsOptionsForClient(source, { authorize: authorizeAny(), minVersion })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      )
    }
  })

  test('is proved by its name, and sees our SVID', async () => {
    await newSource()
    const web = await TestCa.create()
    const port = await serve(await web.leaf({ uris: [], dnsNames: ['shop.test'] }))
    const options = { webServer: { ca: [web.certificate.toPem()] } } as const
    const socket = await connect(port, options, { servername: 'shop.test' })
    expect(await shownSerial(socket)).toBe(source.getX509Svid().serialNumber)
    expect(() => peerId(socket)).toThrow(expect.objectContaining({ code: 'ERR_PEER_NOT_PROVED' }))
    await expect(connect(port, options, { servername: 'other.test' })).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
  })

  test('is not trusted by a bundle', async () => {
    await newSource()
    const port = await serve(await a.leaf({ uris: [], dnsNames: ['shop.test'] }))
    const refused = connect(port, { webServer: true }, { servername: 'shop.test' })
    await expect(refused.catch(codeOf)).resolves.toMatch(/^UNABLE_TO_/)
  })
})
