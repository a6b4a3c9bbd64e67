import { beforeAll, describe, expect, test } from 'vitest'
import { callerOfRequest, createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { listen, request } from '../tls/network.js'
import { TestSource } from '../tls/test-source.js'
import { programOf } from './debian-package.js'
import { freePort, newDirectory, runToEnd, startServer, writeIdentity } from './peer-program.js'

const td = new TestTrustDomain('example.org')
const foreign = new TestTrustDomain('example.org')
const [serverId, clientId] = ['spiffe://example.org/server', 'spiffe://example.org/client']

beforeAll(async () => {
  await programOf('openssl', 'openssl')
  await programOf('curl', 'curl')
  await programOf('python3', 'python3')
  await programOf('iproute2', 'ss')
})

/** The host name is for curl, which knows no SPIFFE IDs. */
const svidOf = (id: string, from = td) => from.svid({ names: { uris: [id], dnsNames: ['localhost'] } })
const sourceOf = (id: string) => new TestSource(svidOf(id), td.bundle())

async function files(from = td, id = clientId) {
  return writeIdentity(await newDirectory(), svidOf(id, from), td.bundle())
}

/** Each calls our server and prints what it answers. */
const callers = {
  'openssl s_client': (port: number, { cert, key, ca }: { cert?: string; key?: string; ca: string }) =>
    runToEnd(
      'sh',
      [
        '-c',
        '(cat; sleep 2) | openssl s_client -quiet -no_ign_eof -verify_return_error "$@"',
        '-',
        ...['-connect', `127.0.0.1:${port}`, '-CAfile', ca],
        ...(cert && key ? ['-cert', cert, '-key', key] : []),
      ],
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n',
    ),
  curl: (port: number, { cert, key, ca }: { cert?: string; key?: string; ca: string }) =>
    runToEnd('curl', [
      ...['--silent', '--show-error', '--cacert', ca, '--resolve', `localhost:${port}:127.0.0.1`],
      ...(cert && key ? ['--cert', cert, '--key', key] : []),
      `https://localhost:${port}/`,
    ]),
  python: (port: number, { cert, key, ca }: { cert?: string; key?: string; ca: string }) =>
    runToEnd('python3', ['-c', pythonClient, String(port), ca, ...(cert && key ? [cert, key] : [])]),
}

const pythonClient = `
import socket, ssl, sys
port, ca, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
if own: context.load_cert_chain(*own)
with context.wrap_socket(socket.create_connection(('127.0.0.1', int(port)))) as s:
    s.sendall(b'GET / HTTP/1.1\\r\\nhost: a\\r\\nconnection: close\\r\\n\\r\\n')
    while data := s.recv(4096): print(data.decode(), end='')
`

const pythonServer = `
import socket, ssl, sys
port, cert, key, ca = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
context.load_verify_locations(ca)
context.verify_mode = ssl.CERT_REQUIRED
listener = socket.create_server(('127.0.0.1', int(port)))
while True:
    try:
        with context.wrap_socket(listener.accept()[0], server_side=True) as s:
            s.recv(4096)
            name = dict(s.getpeercert()['subjectAltName'])['URI'].encode()
            s.sendall(b'HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: %d\\r\\n\\r\\n%s' % (len(name), name))
    except OSError as error:
        print(error, flush=True)
`

describe.each(Object.entries(callers))('%s calls our server', (_name, call) => {
  async function start() {
    const handled: string[] = []
    const server = createHttpsServer(sourceOf(serverId), { authorize: clientId }, (req, res) => {
      handled.push(req.url ?? '')
      res.end(`you are ${callerOfRequest(req)?.id.toString()}`)
    })
    return { port: await listen(server), handled }
  }

  test('and is known by its SPIFFE ID', async () => {
    const { port } = await start()
    expect((await call(port, await files())).stdout).toContain(`you are ${clientId}`)
  })

  test('and is answered 403 when it is somebody else', async () => {
    const { port, handled } = await start()
    const { stdout } = await call(port, await files(td, 'spiffe://example.org/stranger'))
    expect(stdout).toContain('ERR_PEER_NOT_AUTHORIZED')
    expect(handled).toEqual([])
  })

  test('and is cut off without a certificate, or with one of an unknown authority', async () => {
    const { port, handled } = await start()
    const { ca, ...forged } = await files(foreign)
    for (const own of [{}, forged]) {
      const { stdout } = await call(port, { ...own, ca })
      expect(stdout).not.toMatch(/you are|HTTP/)
    }
    expect(handled).toEqual([])
  })
})

const servers = {
  'openssl s_server': (port: number, { cert, key, ca }: { cert: string; key: string; ca: string }) =>
    startServer(
      'openssl',
      [
        ...['s_server', '-accept', `127.0.0.1:${port}`, '-cert', cert, '-key', key, '-CAfile', ca],
        ...['-Verify', '1', '-verify_return_error', '-www'],
      ],
      port,
    ),
  python: (port: number, { cert, key, ca }: { cert: string; key: string; ca: string }) =>
    startServer('python3', ['-c', pythonServer, String(port), cert, key, ca], port),
}

describe.each(Object.entries(servers))('our client calls %s', (_name, start) => {
  async function serve(from?: TestTrustDomain) {
    const port = await freePort()
    await start(port, await files(from, serverId))
    return port
  }

  test('which sees our SPIFFE ID', async () => {
    const agent = new SpiffeHttpsAgent(sourceOf(clientId), { authorize: serverId, keepAlive: false })
    const { status, body } = await request({ port: await serve(), agent })
    expect(status).toBe(200)
    expect(body).toMatch(/spiffe:\/\/example\.org\/client|Client certificate/)
  })

  test('and refuses it under another name', async () => {
    const agent = new SpiffeHttpsAgent(sourceOf(clientId), { authorize: 'spiffe://example.org/other' })
    const call = request({ port: await serve(), agent })
    await expect(call).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
  })

  test('and refuses it with a certificate of an unknown authority', async () => {
    const agent = new SpiffeHttpsAgent(sourceOf(clientId), { authorize: serverId })
    const call = request({ port: await serve(foreign), agent })
    await expect(call).rejects.toMatchObject({ code: 'ERR_X509_CHAIN_UNTRUSTED' })
  })
})
