import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import * as http2 from 'node:http2'
import * as https from 'node:https'
import * as net from 'node:net'
import * as tls from 'node:tls'
import { inspect } from 'node:util'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { VerifiedPaths } from '../../src/svid/verified-paths.js'
import {
  attachSpiffeToServer,
  authorizeAny,
  authorizeMemberOf,
  callerOf,
  createTlsOptionsForServer,
  isAdmitted,
  peerId,
  recheckPeers,
  type AttachToServerOptions,
} from '../../src/tls/index.js'
import { codeOf, gullible, listen, talk } from './network.js'
import { TestCa, type Credential } from './test-ca.js'
import { TestSource } from './test-source.js'

let a: TestCa
let b: TestCa
let web: Credential

beforeAll(async () => {
  a = await TestCa.create()
  b = await TestCa.create()
  web = await a.leaf({ uris: ['spiffe://a.test/web'] })
})

/** A server that tells each client the ID it proved. */
async function start(options: Partial<AttachToServerOptions> = {}, made: tls.TlsOptions = {}) {
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'), b.bundle('b.test'))
  const rejected: unknown[] = []
  const server = tls.createServer({ ...made, ...createTlsOptionsForServer(source) }, (socket) => {
    socket.on('error', () => undefined)
    socket.end(callerOf(socket)?.id.toString() ?? 'anonymous')
  })
  attachSpiffeToServer(server, source, {
    authorize: authorizeAny(),
    onRejected: (error) => rejected.push(codeOf(error)),
    ...options,
  } as AttachToServerOptions)
  return { server, source, rejected, port: await listen(server) }
}

const presented = (socket: tls.TLSSocket) => socket.getPeerCertificate().serialNumber.toLowerCase()

async function connect(port: number, credential?: Credential, more: tls.ConnectionOptions = {}) {
  const socket = tls.connect({ ...gullible(credential), ...more, port })
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

describe('an attached TLS server', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`proves a client of its own trust domain (${version})`, async () => {
      const { port } = await start({ minVersion: 'TLSv1.2' })
      expect(await talk({ ...gullible(web), port, maxVersion: version })).toMatchObject({
        heard: 'spiffe://a.test/web',
      })
    })

    test(`proves a client of a federated trust domain, intermediates included (${version})`, async () => {
      const issuer = await TestCa.create({ issuer: await TestCa.create({ issuer: b }) })
      const peer = await issuer.leaf({ uris: ['spiffe://b.test/web'] })
      const { port } = await start({ minVersion: 'TLSv1.2' })
      expect((await talk({ ...gullible(peer), port, maxVersion: version })).heard).toBe('spiffe://b.test/web')
    })

    test(`proves a client whose intermediates come in any order, with others that belong nowhere (${version})`, async () => {
      const upper = await TestCa.create({ issuer: b })
      const lower = await TestCa.create({ issuer: upper })
      const peer = await lower.leaf({ uris: ['spiffe://b.test/web'] }, [a, b, upper, lower, upper])
      const { port } = await start({ minVersion: 'TLSv1.2' })
      expect((await talk({ ...gullible(peer), port, maxVersion: version })).heard).toBe('spiffe://b.test/web')
    })
  }

  test('reads its options once: what happens to the object later admits nobody', async () => {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
    const options: { authorize: ReturnType<typeof authorizeAny>; clients?: 'optional' } = { authorize: authorizeAny() }
    const server = tls.createServer(createTlsOptionsForServer(source), (socket) => socket.end('anonymous'))
    attachSpiffeToServer(server, source, options)
    options.clients = 'optional'
    expect((await talk({ ...gullible(), port: await listen(server) })).heard).toBe('')
  })

  test('is printed without its key, before and after a rotation', async () => {
    const { server, source } = await start()
    for (const path of ['one', 'two']) {
      source.use(await a.svid(`spiffe://a.test/${path}`))
      expect(inspect(server, { depth: 9, showHidden: true })).not.toContain('PRIVATE KEY')
      expect(JSON.stringify(server)).not.toContain('PRIVATE KEY')
    }
  })

  test('refuses a minVersion that is none or broken', async () => {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
    for (const minVersion of ['TLSv1', 'TLSv1.1', '1.3'] as never[]) {
      const refused: unknown = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' })
      expect(() => createTlsOptionsForServer(source, { minVersion })).toThrow(refused)
      const server = tls.createServer(createTlsOptionsForServer(source))
      expect(() => attachSpiffeToServer(server, source, { authorize: authorizeAny(), minVersion })).toThrow(refused)
    }
  })

  test('speaks TLS 1.3 only, unless told otherwise', async () => {
    const { port } = await start()
    const { error } = await talk({ ...gullible(web), port, maxVersion: 'TLSv1.2' })
    expect(codeOf(error)).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
  })

  for (const [how, addListener] of [
    ['before ours', (server, listener) => void server.prependListener('secureConnection', listener)],
    [
      'in the place of all others',
      (server, listener) => void server.removeAllListeners('secureConnection').on('secureConnection', listener),
    ],
  ] as const satisfies [string, (server: tls.Server, listener: (socket: tls.TLSSocket) => void) => void][])
    test(`shows no client that is not proved to a listener ${how}`, async () => {
      const { server, port, rejected } = await start()
      const shown: unknown[] = []
      addListener(server, (socket) => {
        shown.push([isAdmitted(socket), socket.authorized, socket.destroyed])
        socket.on('error', () => undefined)
      })
      expect((await talk({ ...gullible(), port }, 'hello')).heard).toBe('')
      expect([shown, rejected]).toEqual([[], ['ERR_PEER_NO_CERTIFICATE']])
      await connect(port, web)
      await expect.poll(() => shown).toEqual([[true, true, false]])
    })

  test('publishes refusals on a diagnostics channel', async () => {
    const heard: unknown[] = []
    const listener = (message: unknown) => void heard.push(codeOf((message as { error: unknown }).error))
    subscribe('spiffe:tls:rejected', listener)
    onTestFinished(() => void unsubscribe('spiffe:tls:rejected', listener))
    const { port } = await start()
    await talk({ ...gullible(), port })
    expect(heard).toEqual(['ERR_PEER_NO_CERTIFICATE'])
  })

  for (const [how, onRejected] of [
    ['throws', () => void JSON.parse('')],
    ['is async and rejects', () => Promise.reject(new SyntaxError('late')) as never],
  ] as const)
    describe(`an onRejected that ${how} lets nobody in and ends nothing but itself`, () => {
      test('where nobody was proved, where nobody is authorized, and where there is no SVID', async () => {
        const { port, source } = await start({ onRejected, authorize: 'spiffe://a.test/web' })
        const stranger = await a.leaf({ uris: ['spiffe://a.test/stranger'] })
        for (const client of [gullible(), gullible(stranger)]) expect((await talk({ ...client, port })).heard).toBe('')
        const svid = source.getX509Svid()
        source.use(new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'expired'))
        expect((await talk({ ...gullible(web), port })).heard).toBe('')
        source.use(svid)
        expect((await talk({ ...gullible(web), port })).heard).toBe('spiffe://a.test/web')
      })

      test('where a stranger is marked', async () => {
        const { server, port } = await start({ onRejected, authorize: 'spiffe://b.test/x', onUnauthorized: 'mark' })
        const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>
        await talk({ ...gullible(web), port })
        expect(isAdmitted((await accepted)[0])).toBe(false)
      })
    })

  test('publishes what onRejected throws', async () => {
    const heard: unknown[] = []
    const listener = (message: unknown) => void heard.push((message as { thrown: unknown }).thrown)
    subscribe('spiffe:tls:rejected', listener)
    onTestFinished(() => void unsubscribe('spiffe:tls:rejected', listener))
    const { port } = await start({ onRejected: () => void JSON.parse('') })
    await talk({ ...gullible(), port })
    expect(heard).toEqual([expect.any(SyntaxError)])
  })

  test('closes on a proved peer that is not authorized', async () => {
    const { port, rejected } = await start({ authorize: authorizeMemberOf('b.test') })
    expect((await talk({ ...gullible(web), port })).heard).toBe('')
    expect(rejected).toEqual(['ERR_PEER_NOT_AUTHORIZED'])
  })

  test("lets an unauthorized peer in with onUnauthorized: 'mark', and says so on the socket", async () => {
    const { server, port } = await start({ authorize: authorizeMemberOf('b.test'), onUnauthorized: 'mark' })
    const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>
    await talk({ ...gullible(web), port })
    const [socket] = await accepted
    expect(peerId(socket).toString()).toBe('spiffe://a.test/web')
    expect([isAdmitted(socket), socket.authorized]).toEqual([false, false])
  })

  test('sets what other middleware looks for', async () => {
    const { server, port } = await start()
    const accepted = once(server, 'secureConnection') as Promise<[tls.TLSSocket]>
    await talk({ ...gullible(web), port })
    const [socket] = await accepted
    expect([isAdmitted(socket), socket.authorized, socket.authorizationError]).toEqual([true, true, null])
    expect(callerOf(socket)?.provedBy).toBe('x509-svid')
    expect(callerOf(socket)?.certificate.serialNumber).toBe(web.certificates[0]!.serialNumber)
  })

  test('peerId throws on a socket without proof', () =>
    expect(() => peerId(new tls.TLSSocket(undefined as never))).toThrow(
      expect.objectContaining({ code: 'ERR_PEER_NOT_PROVED' }),
    ))
})

describe('which clients are asked for', () => {
  test("'optional' lets a client without certificate in, without a caller", async () => {
    const { port } = await start({ clients: 'optional' })
    expect((await talk({ ...gullible(), port })).heard).toBe('anonymous')
    expect((await talk({ ...gullible(web), port })).heard).toBe('spiffe://a.test/web')
  })

  test("'optional' does not let a client with a worthless certificate in", async () => {
    const { port, rejected } = await start({ clients: 'optional' })
    const impostor = await b.leaf({ uris: ['spiffe://a.test/web'] })
    expect((await talk({ ...gullible(impostor), port })).heard).toBe('')
    expect(rejected).toEqual(['ERR_X509_CHAIN_UNTRUSTED'])
  })

  test("'none' asks nobody", async () => {
    const { port } = await start({ clients: 'none', authorize: undefined })
    expect((await talk({ ...gullible(), port })).heard).toBe('anonymous')
    expect((await talk({ ...gullible(web), port })).heard).toBe('anonymous')
  })

  test('an ordinary web certificate is shown in place of the SVID, and clients are proved all the same', async () => {
    const shown = await (await TestCa.create()).leaf({ uris: [], dnsNames: ['shop.test'] })
    const { port, source, rejected } = await start({ webCertificate: () => shown })
    const socket = await connect(port, web)
    expect(presented(socket)).toBe(shown.certificates[0]!.serialNumber)
    source.use(await a.svid('spiffe://a.test/server'))
    expect(presented(await connect(port, web))).toBe(shown.certificates[0]!.serialNumber)
    await talk({ ...gullible(await b.leaf({ uris: ['spiffe://a.test/web'] })), port })
    expect(rejected).toEqual(['ERR_X509_CHAIN_UNTRUSTED'])
  })
})

describe('set-up is refused when', () => {
  for (const [reason, options, code] of [
    ['authorize is missing', { authorize: undefined }, 'ERR_AUTHORIZER_REQUIRED'],
    ['the authorizer is async', { authorize: (async () => Promise.resolve(true)) as never }, 'ERR_AUTHORIZER_INVALID'],
    ['clients is misspelt', { clients: 'require' as never }, 'ERR_INVALID_ARGUMENT'],
    ['clients are not asked and authorized all the same', { clients: 'none' }, 'ERR_INVALID_ARGUMENT'],
    ['onRejected is no function', { onRejected: 'log' as never }, 'ERR_INVALID_ARGUMENT'],
    ['onUnauthorized is misspelt', { onUnauthorized: 'reject' as never }, 'ERR_INVALID_ARGUMENT'],
    ['onTrustWithdrawn is misspelt', { onTrustWithdrawn: 'Keep' as never }, 'ERR_INVALID_ARGUMENT'],
    ['an age is given that plain TLS cannot obey', { maxConnectionAgeMs: 1000 } as object, 'ERR_INVALID_ARGUMENT'],
  ] as const)
    test(reason, () => expect(start(options as Partial<AttachToServerOptions>)).rejects.toMatchObject({ code }))

  test('the server is attached already', async () => {
    const { server, source } = await start()
    expect(() => attachSpiffeToServer(server, source, { authorize: authorizeAny() })).toThrow(
      expect.objectContaining({ code: 'ERR_SERVER_ALREADY_ATTACHED' }),
    )
  })

  test('the source has no valid SVID', async () => {
    const { source } = await start()
    source.use(new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'expired'))
    expect(() => createTlsOptionsForServer(source)).toThrow(expect.objectContaining({ code: 'ERR_X509_SVID_EXPIRED' }))
  })
})

describe('a server that was never attached', () => {
  async function unattached() {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
    const errors: unknown[] = []
    const server = tls.createServer(createTlsOptionsForServer(source), (socket) => socket.end('welcome'))
    server.on('tlsClientError', (error) => errors.push(codeOf(error)))
    return { port: await listen(server), errors }
  }

  test('refuses everyone', async () => {
    const { port } = await unattached()
    expect((await talk({ ...gullible(web), port })).heard).toBe('')
    expect((await talk({ ...gullible(), port })).heard).toBe('')
  })

  test('says so when the client names a host', async () => {
    const { port, errors } = await unattached()
    expect((await talk({ ...gullible(web), port, servername: 'a.test' })).heard).toBe('')
    expect(errors).toEqual(['ERR_SERVER_NOT_ATTACHED'])
  })
})

describe('a server that was never attached, with options of its own, lets nobody in', () => {
  const lax = { rejectUnauthorized: false, requestCert: false }
  const get = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'
  const kinds: [string, (options: tls.TlsOptions) => tls.Server][] = [
    ['tls', (options) => tls.createServer(options, (socket) => socket.end('in'))],
    ['https', (options) => https.createServer(options, (_req, res) => res.end('in'))],
    ['http2', (options) => http2.createSecureServer({ ...options, allowHTTP1: true }, (_req, res) => res.end('in'))],
  ]
  for (const [kind, create] of kinds)
    for (const servername of ['', 'a.test'])
      test(`${kind}, ${servername ? 'with' : 'without'} SNI`, async () => {
        const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
        const server = create({ ...createTlsOptionsForServer(source), ...lax })
        const errors: unknown[] = []
        server.on('tlsClientError', (error) => errors.push(codeOf(error)))
        const port = await listen(server)
        for (const client of [gullible(), gullible(web)])
          expect((await talk({ ...client, port, servername }, get)).heard).toBe('')
        const code = servername ? 'ERR_SERVER_NOT_ATTACHED' : 'ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM'
        expect(errors).toEqual([code, code])
      })
})

describe('a server made with options of its own', () => {
  test('is none the weaker for it', async () => {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
    const lax = {
      requestCert: false,
      rejectUnauthorized: false,
      ca: b.certificate.toPem(),
      ticketKeys: Buffer.alloc(48),
    }
    const server = tls.createServer({ ...createTlsOptionsForServer(source), ...lax }, (socket) => socket.end('welcome'))
    attachSpiffeToServer(server, source, { authorize: authorizeAny() })
    const port = await listen(server)
    expect((await talk({ ...gullible(), port })).heard).toBe('')
    expect((await talk({ ...gullible(await b.leaf({ uris: ['spiffe://a.test/web'] })), port })).heard).toBe('')
    expect((await talk({ ...gullible(web), port })).heard).toBe('welcome')
  })

  test('keeps its ciphers over a rotation, and its contexts by host name', async () => {
    const { server, source, port } = await start({}, { ciphers: 'TLS_AES_256_GCM_SHA384' })
    source.use(await a.svid('spiffe://a.test/server'))
    expect((await connect(port, web)).getCipher().name).toBe('TLS_AES_256_GCM_SHA384')
    const shop = await a.leaf({ uris: [], dnsNames: ['shop.test'] })
    server.addContext('shop.test', { cert: shop.cert, key: shop.key })
    expect(presented(await connect(port, web, { servername: 'shop.test' }))).toBe(shop.certificates[0]!.serialNumber)
    expect(presented(await connect(port, web))).toBe(source.getX509Svid().serialNumber)
  })

  test("still goes by the client's order of ciphers after a rotation", async () => {
    const [strong, quick] = ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256']
    const made = { ciphers: `${strong}:${quick}`, honorCipherOrder: false }
    const { source, port } = await start({}, made)
    source.use(await a.svid('spiffe://a.test/server'))
    expect((await connect(port, web, { ciphers: `${quick}:${strong}` })).getCipher().name).toBe(quick)
  })
})

describe('rotation', () => {
  for (const servername of [undefined, 'server.a.test'])
    test(`the next handshake shows the newest SVID, ${servername ? 'with' : 'without'} SNI`, async () => {
      const { source, port } = await start()
      const more = servername ? { servername } : {}
      expect(presented(await connect(port, web, more))).toBe(source.getX509Svid().serialNumber)
      for (let i = 0; i < 3; i++) {
        source.use(await a.svid('spiffe://a.test/server'))
        expect(presented(await connect(port, web, more))).toBe(source.getX509Svid().serialNumber)
      }
    })

  test('needs no notification', async () => {
    const { source, port } = await start()
    source.useQuietly(await a.svid('spiffe://a.test/server'))
    expect(presented(await connect(port, web))).toBe(source.getX509Svid().serialNumber)
  })

  test('keeps the minimum version and sends no tickets', async () => {
    const { source, port } = await start({ minVersion: 'TLSv1.2' })
    source.use(await a.svid('spiffe://a.test/server'))
    const socket = await connect(port, web, { maxVersion: 'TLSv1.2' })
    expect(socket.getProtocol()).toBe('TLSv1.2')
    expect(socket.getTLSTicket()).toBeUndefined()
  })

  test('an SVID that has run out refuses everyone, and the next one serves again', async () => {
    const { source, port, rejected } = await start()
    const expired = new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'expired')
    for (const use of ['use', 'useQuietly'] as const) {
      source[use](expired)
      const { heard, error } = await talk({ ...gullible(web), port })
      expect(heard).toBe('')
      expect(error).toBeDefined()
      source[use](await a.svid('spiffe://a.test/server'))
      expect((await talk({ ...gullible(web), port })).heard).toBe('spiffe://a.test/web')
    }
    expect(rejected).toEqual(['ERR_X509_SVID_EXPIRED', 'ERR_X509_SVID_EXPIRED'])
  })

  test('a closed server lets go of the source, and takes it up when it listens again', async () => {
    const { server, source } = await start()
    expect(source.listeners).toBe(1)
    await new Promise((resolve) => server.close(resolve))
    expect(source.listeners).toBe(0)
    await listen(server)
    expect(source.listeners).toBe(1)
  })
})

describe('trust that is withdrawn', () => {
  async function connected(options: Partial<AttachToServerOptions> = {}) {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'), b.bundle('b.test'))
    const server = tls.createServer(createTlsOptionsForServer(source))
    const rejected: unknown[] = []
    attachSpiffeToServer(server, source, {
      authorize: authorizeAny(),
      onRejected: (error) => rejected.push(codeOf(error)),
      ...options,
    } as AttachToServerOptions)
    const port = await listen(server)
    // The client is done with a TLS 1.3 handshake before the server is.
    const admit = async (credential: Credential) => {
      const [socket] = await Promise.all([connect(port, credential), once(server, 'secureConnection')])
      return socket.resume()
    }
    const near = await admit(web)
    const far = await admit(await b.leaf({ uris: ['spiffe://b.test/web'] }))
    return { source, server, rejected, near, far }
  }

  test('ends the connections of its trust domain only', async () => {
    const { source, near, far, rejected } = await connected()
    source.use(source.getX509Svid(), a.bundle('a.test'))
    await once(far, 'close')
    expect(rejected).toEqual(['ERR_BUNDLE_NOT_FOUND'])
    expect(near.destroyed).toBe(false)
  })

  test('leaves them alone when a bundle only grows', async () => {
    const { source, near, far, rejected } = await connected()
    source.use(source.getX509Svid(), a.bundle('a.test', await TestCa.create()), b.bundle('b.test'))
    source.use(source.getX509Svid(), a.bundle('a.test'))
    await once(far, 'close')
    expect(rejected).toEqual(['ERR_BUNDLE_NOT_FOUND'])
    expect(near.destroyed).toBe(false)
  })

  test("lets them live with onTrustWithdrawn: 'keep'", async () => {
    const { source, server, far, rejected } = await connected({ onTrustWithdrawn: 'keep' })
    source.use(source.getX509Svid(), a.bundle('a.test'))
    expect(rejected).toEqual([])
    recheckPeers(server)
    expect(rejected).toEqual(['ERR_BUNDLE_NOT_FOUND'])
    await once(far, 'close')
  })

  test('an update proves only those anew whose bundle is another object, and asks about everybody', async () => {
    const asked: string[] = []
    const authorize = (id: unknown) => asked.push(String(id)) > 0
    const { source, near, far } = await connected({ authorize })
    const everybody = ['spiffe://a.test/web', 'spiffe://b.test/web']
    const svid = source.getX509Svid()
    const [aBundle, bBundle] = source.context.bundles
    const proofs = vi.spyOn(VerifiedPaths.prototype, 'find')
    onTestFinished(() => proofs.mockRestore())
    const newer = b.bundle('b.test')
    for (const [bundles, proved] of [
      [[aBundle!, bBundle!], 0],
      [[aBundle!, newer], 1],
      // The newer one is what counts from now on.
      [[aBundle!, newer], 0],
      [[aBundle!, bBundle!], 1],
    ] as const) {
      proofs.mockClear()
      asked.length = 0
      source.use(svid, ...bundles)
      expect(proofs).toHaveBeenCalledTimes(proved)
      expect(asked).toEqual(everybody)
    }
    expect([near.destroyed, far.destroyed]).toEqual([false, false])
    source.use(svid, aBundle!)
    await once(far, 'close')
  })

  test('ends every connection that it is about, though onRejected throws at the first', async () => {
    const { source, near, far } = await connected({ onRejected: () => void JSON.parse('') })
    source.use(source.getX509Svid(), (await TestCa.create()).bundle('a.test'))
    for (const socket of [near, far]) if (!socket.closed) await once(socket, 'close')
  })

  test('ends connections that another listener handed on, also when the server itself has closed', async () => {
    const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
    const server = tls.createServer(createTlsOptionsForServer(source), (socket) => {
      socket.on('error', () => undefined)
      socket.write('in')
    })
    attachSpiffeToServer(server, source, { authorize: authorizeAny() })
    await listen(server)
    const port = await listen(net.createServer((socket) => server.emit('connection', socket)))
    const socket = await connect(port, web)
    await once(socket, 'data')
    server.close()
    await once(server, 'close')
    expect(source.listeners).toBe(1)
    source.use(await a.svid('spiffe://a.test/server'), b.bundle('b.test'))
    await once(socket, 'close')
    await vi.waitFor(() => expect(source.listeners).toBe(0))
  })

  test('recheckPeers asks the authorizer anew', async () => {
    const banned = new Set<string>()
    const { server, near, far, rejected } = await connected({ authorize: (id) => !banned.has(id.toString()) })
    banned.add('spiffe://a.test/web')
    recheckPeers(server)
    await once(near, 'close')
    expect(rejected).toEqual(['ERR_PEER_NOT_AUTHORIZED'])
    expect(far.destroyed).toBe(false)
  })
})
