import { execFile } from 'node:child_process'
import { appendFile, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import pg from 'pg'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { SvidFileWriter } from '../../src/files/index.js'
import { createTlsOptionsForClient } from '../../src/tls/index.js'
import { codeOf } from '../tls/network.js'
import { TestSource } from '../tls/test-source.js'
import { postgresPrograms, programOf } from './debian-package.js'
import { freePort, newDirectory, startServer } from './peer-program.js'

const run = promisify(execFile)
const td = new TestTrustDomain('example.org')
const foreign = new TestTrustDomain('example.org')
const [databaseId, clientId] = ['spiffe://example.org/database', 'spiffe://example.org/client']
const svidOf = (id: string, from = td) => from.svid({ names: { uris: [id] } })
const sourceOf = (from = td) => new TestSource(svidOf(clientId, from), td.bundle())

let postgres: string

beforeAll(async () => {
  postgres = await postgresPrograms()
  await programOf('redis-server', 'redis-server')
  await programOf('iproute2', 'ss')
})

/** Keeps the identity of a database on disk, readable for its group where it runs as a user of its own. */
async function newFiles(directory: string, gid?: number) {
  const shared = gid === undefined ? {} : { gid, dirMode: 0o750, keyMode: 0o640 }
  const writer = await SvidFileWriter.open({ certDir: join(directory, 'svid'), ...shared })
  onTestFinished(() => writer.close())
  const rotate = async () => {
    const svid = svidOf(databaseId)
    await writer.write({ svid, bundle: td.bundle() })
    return svid.serialNumber
  }
  return { paths: writer.paths, rotate, serial: await rotate() }
}

describe('PostgreSQL that asks for client certificates, through pg', () => {
  /** PostgreSQL refuses to run as root; its files belong to the user of its package then. */
  const asRoot = process.getuid?.() === 0
  const asPostgres = asRoot ? ['runuser', '-u', 'postgres', '--'] : ['env']

  async function start() {
    const directory = await newDirectory()
    const gid = asRoot ? Number((await run('id', ['-g', 'postgres'])).stdout) : undefined
    const files = await newFiles(directory, gid)
    const data = join(directory, 'data')
    await mkdir(data, { mode: 0o700 })
    if (asRoot) await chown(data, Number((await run('id', ['-u', 'postgres'])).stdout), gid!)
    const [command = '', ...rest] = asPostgres
    const shell = (script: string) => [...rest, 'sh', '-c', `PATH=${postgres}:$PATH; ${script}`]
    await run(command, shell(`initdb --no-locale --no-sync -U app -A trust -D ${data}`))
    const port = await freePort()
    await appendFile(
      join(data, 'postgresql.conf'),
      `listen_addresses = '127.0.0.1'\nport = ${port}\nunix_socket_directories = ''\nfsync = off\nssl = on
ssl_cert_file = '${files.paths.certFile}'\nssl_key_file = '${files.paths.keyFile}'\nssl_ca_file = '${files.paths.caFile}'\n`,
    )
    await writeFile(join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n')
    const { said } = await startServer(command, shell(`exec postgres -D ${data}`), port)
    // It listens a moment before it lets anybody in.
    const ready = `until pg_isready -q -h 127.0.0.1 -p ${port}; do sleep 0.05; done`
    await run(command, shell(`timeout 20 sh -c '${ready}'`))
    return { port, said, ...files }
  }

  const optionsFor = (port: number, source = sourceOf(), authorize = databaseId): pg.ClientConfig => {
    const ssl = createTlsOptionsForClient(source, { authorize })
    return { host: '127.0.0.1', port, user: 'app', database: 'postgres', ssl }
  }

  async function connect(options: pg.ClientConfig) {
    const client = new pg.Client(options)
    client.on('error', () => undefined)
    await client.connect()
    onTestFinished(() => client.end())
    const { stream } = (client as unknown as { connection: { stream: TLSSocket } }).connection
    const shown = stream.getPeerCertificate().serialNumber.toLowerCase()
    const query = 'select client_serial::text as serial from pg_stat_ssl where pid = pg_backend_pid()'
    const { rows } = await client.query<{ serial: string }>(query)
    return { client, shown, seen: BigInt(rows[0]!.serial).toString(16) }
  }

  test('each side shows its newest SVID after a rotation, and connections live on', async () => {
    const { port, serial, rotate } = await start()
    const source = sourceOf()
    const options = optionsFor(port, source)
    const first = await connect(options)
    expect(first).toMatchObject({ shown: serial, seen: source.getX509Svid().serialNumber })

    source.use(svidOf(clientId))
    const next = await rotate()
    await first.client.query('select pg_reload_conf()')
    const patience = Date.now() + 10_000
    let second = await connect(options)
    // The postmaster reloads when it gets the signal, a moment after it was asked to.
    while (second.shown === serial && Date.now() < patience) second = await connect(options)
    expect(second).toMatchObject({ shown: next, seen: source.getX509Svid().serialNumber })
    expect((await first.client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  test('a pool takes the options too', async () => {
    const { port } = await start()
    const pool = new pg.Pool({ ...optionsFor(port), max: 3 })
    onTestFinished(() => pool.end())
    const answers = await Promise.all(Array.from({ length: 12 }, () => pool.query('select 1 as one')))
    expect(answers.every(({ rows }) => (rows as { one: number }[])[0]?.one === 1)).toBe(true)
  })

  test('refuses who shows no certificate or one of an unknown authority; we refuse one with another name', async () => {
    const { port, said } = await start()
    await expect(connect({ ...optionsFor(port), ssl: { rejectUnauthorized: false } })).rejects.toMatchObject({
      code: '28000',
    })
    // Our side has shaken hands by then: it hears an alert or a connection that ends, and the server says why.
    await expect(connect(optionsFor(port, sourceOf(foreign)))).rejects.toThrow()
    await vi.waitFor(() => expect(said()).toMatch(/certificate verify failed/), 5_000)
    const misled = connect(optionsFor(port, sourceOf(), 'spiffe://example.org/other'))
    expect(codeOf(await misled.catch((error: unknown) => error))).toBe('ERR_PEER_NOT_AUTHORIZED')
  })
})

describe('Redis that asks for client certificates, through ioredis', () => {
  async function start() {
    const directory = await newDirectory()
    const files = await newFiles(directory)
    const port = await freePort()
    const { certFile, keyFile, caFile } = files.paths
    const settings = { port: 0, 'tls-port': port, bind: '127.0.0.1', save: '', dir: directory }
    const identity = { 'tls-cert-file': certFile, 'tls-key-file': keyFile, 'tls-ca-cert-file': caFile }
    const entries = Object.entries({ ...settings, ...identity, 'tls-auth-clients': 'yes' })
    const args = entries.flatMap(([name, value]) => [`--${name}`, String(value)])
    const { said } = await startServer('redis-server', args, port)
    const reload = () => ['tls-cert-file', certFile, 'tls-key-file', keyFile] as const
    return { port, reload, said, ...files }
  }

  function connect(port: number, { source = sourceOf(), authorize = databaseId } = {}) {
    const tls = createTlsOptionsForClient(source, { authorize })
    const client = new Redis({ host: '127.0.0.1', port, tls, lazyConnect: true, retryStrategy: (times) => times * 10 })
    const errors: unknown[] = []
    client.on('error', (error) => errors.push(error))
    onTestFinished(() => client.disconnect())
    const shown = () => (client.stream as TLSSocket).getPeerCertificate().serialNumber.toLowerCase()
    return { client, errors, shown }
  }

  test('each side shows its newest SVID when ioredis connects anew', async () => {
    const { port, serial, rotate, reload } = await start()
    const source = sourceOf()
    const { client, shown } = connect(port, { source })
    await client.set('key', 'value')
    expect(shown()).toBe(serial)

    const next = await rotate()
    await client.call('CONFIG', 'SET', ...reload())
    const fresh = svidOf(clientId)
    source.use(fresh)
    await client.call('CLIENT', 'KILL', 'SKIPME', 'no').catch(() => undefined)
    expect(await client.get('key')).toBe('value')
    expect(shown()).toBe(next)
    const own = (client.stream as TLSSocket).getCertificate() as { serialNumber: string }
    expect(own.serialNumber.toLowerCase()).toBe(fresh.serialNumber)
  })

  test('refuses a client of an unknown authority; we refuse one with another name', async () => {
    const { port, said } = await start()
    const stranger = connect(port, { source: sourceOf(foreign) })
    await expect(stranger.client.connect().then(() => stranger.client.ping())).rejects.toThrow()
    await vi.waitFor(() => expect(said()).toMatch(/certificate verify failed/), 5_000)
    stranger.client.disconnect()
    const misled = connect(port, { authorize: 'spiffe://example.org/other' })
    await expect(misled.client.connect()).rejects.toThrow()
    misled.client.disconnect()
    expect(misled.errors.map(codeOf)).toContain('ERR_PEER_NOT_AUTHORIZED')
  })
})
