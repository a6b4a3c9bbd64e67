import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { SpiffeHttp2Client } from '../../src/adapters/http2/index.js'
import { callerOfRequest, createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { createDispatcher } from '../../src/adapters/undici/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { listen, request } from '../tls/network.js'
import { TestSource } from '../tls/test-source.js'
import { programOf } from './debian-package.js'
import { freePort, newDirectory, startServer, writeIdentity } from './peer-program.js'

const td = new TestTrustDomain('example.org')
const foreign = new TestTrustDomain('example.org')
const [nginxId, ourId] = ['spiffe://example.org/nginx', 'spiffe://example.org/ours']

beforeAll(async () => {
  await programOf('nginx-light', 'nginx')
  await programOf('iproute2', 'ss')
})

const svidOf = (id: string, from = td) => from.svid({ names: { uris: [id], dnsNames: ['ours.test'] } })
const sourceOf = (id: string, from = td) => new TestSource(svidOf(id, from), td.bundle())

/** Starts nginx with one server; `{cert}`, `{key}` and `{ca}` stand for its files. */
async function startNginx(server: string, { from = td } = {}) {
  const directory = await newDirectory()
  const identity = await writeIdentity(directory, svidOf(nginxId, from), td.bundle())
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join('\n')
  const filled = server.replace(/\{(cert|key|ca)\}/g, (_all, name: 'cert' | 'key' | 'ca') => identity[name])
  const configuration = `
    daemon off; worker_processes 1; error_log stderr; pid ${directory}/nginx.pid;
    events {}
    http { access_log off; ${temporary} server { listen 127.0.0.1:${port} ${filled} } }`
  await writeFile(join(directory, 'nginx.conf'), configuration)
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin`
  const conf = join(directory, 'nginx.conf')
  const program = await startServer('env', [`PATH=${path}`, 'nginx', '-e', 'stderr', '-c', conf], port)
  return { port, directory, program }
}

describe('nginx that asks for client certificates', () => {
  const server = `ssl http2; ssl_protocols TLSv1.3; ssl_certificate {cert}; ssl_certificate_key {key};
    ssl_client_certificate {ca}; ssl_verify_client on;
    location / { return 200 "$ssl_client_verify $ssl_client_serial"; }`

  test('serves our clients, and learns a new certificate after a rotation', async () => {
    const { port } = await startNginx(server)
    const source = sourceOf(ourId)
    const agent = new SpiffeHttpsAgent(source, { authorize: nginxId })
    const dispatcher = createDispatcher(source, { authorize: nginxId })
    const http2 = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, { authorize: nginxId })
    const ways = {
      https: async () => (await request({ port, agent })).body,
      fetch: async () => (await fetch(`https://127.0.0.1:${port}`, { dispatcher })).text(),
      async http2() {
        let heard = ''
        for await (const chunk of http2.request()) heard += String(chunk)
        return heard
      },
    }
    try {
      for (let round = 0; round < 2; round++) {
        const serial = source.getX509Svid().serialNumber.toUpperCase()
        for (const [name, call] of Object.entries(ways)) expect(await call(), name).toBe(`SUCCESS ${serial}`)
        source.use(svidOf(ourId))
      }
    } finally {
      agent.destroy()
      await dispatcher.close()
      await http2.close()
    }
  })

  test('is refused under another name, and with a certificate of an unknown authority', async () => {
    const { port } = await startNginx(server)
    const other = new SpiffeHttpsAgent(sourceOf(ourId), { authorize: 'spiffe://example.org/other' })
    await expect(request({ port, agent: other })).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
    const forged = await startNginx(server, { from: foreign })
    const agent = new SpiffeHttpsAgent(sourceOf(ourId), { authorize: nginxId })
    const call = request({ port: forged.port, agent })
    await expect(call).rejects.toMatchObject({ code: 'ERR_X509_CHAIN_UNTRUSTED' })
  })
})

describe('nginx as a proxy in front of our server', () => {
  const proxyTo = (port: number) => `; location / {
    proxy_pass https://127.0.0.1:${port}; proxy_ssl_protocols TLSv1.3;
    proxy_ssl_certificate {cert}; proxy_ssl_certificate_key {key};
    proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_name ours.test; proxy_ssl_session_reuse on;
    proxy_set_header x-caller "spiffe://example.org/admin"; }`

  async function start(authorize: string) {
    const source = sourceOf(ourId)
    const handled: string[] = []
    const server = createHttpsServer(source, { authorize }, (req, res) => {
      handled.push(req.url ?? '')
      res.end(callerOfRequest(req)?.id.toString())
    })
    return { port: await listen(server), handled, source }
  }
  const get = (port: number) => fetch(`http://127.0.0.1:${port}/`)

  test('is the caller itself, whatever its headers say, before and after a rotation', async () => {
    const { port: behind, source } = await start(nginxId)
    const { port } = await startNginx(proxyTo(behind))
    for (let round = 0; round < 3; round++) {
      expect(await (await get(port)).text()).toBe(nginxId)
      source.use(svidOf(ourId))
    }
  })

  test('is answered 403 when it is not authorized', async () => {
    const { port: behind, handled } = await start('spiffe://example.org/other')
    const { port } = await startNginx(proxyTo(behind))
    expect((await get(port)).status).toBe(403)
    expect(handled).toEqual([])
  })

  test('gets no connection with a certificate of an unknown authority', async () => {
    const { port: behind, handled } = await start(nginxId)
    const { port } = await startNginx(proxyTo(behind), { from: foreign })
    expect((await get(port)).status).toBe(502)
    expect(handled).toEqual([])
  })
})
