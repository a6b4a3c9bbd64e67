import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { beforeAll, expect, test } from 'vitest'
import type { DevWorkload } from '../../src/dev/agent/index.js'
import { ExampleProjects, freePort } from '../e2e/example-project.js'
import { postgresPrograms, programOf } from './debian-package.js'
import { ForeignWorld } from './foreign-world.js'
import { keepUntilEnd } from './keep-until-end.js'

const run = promisify(execFile)
const databaseId = 'spiffe://example.org/database'
const keep = keepUntilEnd()
const projects = new ExampleProjects()
let bin: string
let openssl: string
let world: ForeignWorld
let workload: DevWorkload
let port: number

/** PostgreSQL refuses to run as root. */
function databaseUser(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string, name: string) => Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout)
  const name = id('-u', 'postgres') > 0 ? 'postgres' : 'nobody'
  return { uid: id('-u', name), gid: id('-g', name) }
}

beforeAll(async () => {
  bin = await postgresPrograms()
  openssl = await programOf('openssl', 'openssl')
  world = await keep(ForeignWorld.create('spiffe://example.org/client'))
  await keep(Promise.resolve({ [Symbol.asyncDispose]: () => projects.close() }))
  workload = await world.workload(databaseId)
  port = await freePort()
  const user = databaseUser()
  const [data, home] = [join(world.directory, 'data'), join(world.directory, 'run')]
  const certDir = join(home, 'certs')
  for (const path of [data, home]) {
    await mkdir(path, { mode: 0o700 })
    if (user.uid !== undefined) await chown(path, user.uid, user.gid ?? -1)
  }
  // English, whatever the machine speaks: a refusal is told by its words.
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-N', '--no-locale'], {
    ...user,
    cwd: '/',
    stdio: 'ignore',
  })
  const settings = {
    port,
    listen_addresses: `'127.0.0.1'`,
    unix_socket_directories: `''`,
    ssl: 'on',
    ssl_cert_file: `'${certDir}/svid.crt'`,
    ssl_key_file: `'${certDir}/svid.key'`,
    ssl_ca_file: `'${certDir}/ca.crt'`,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`)
  await appendFile(join(data, 'postgresql.conf'), lines.join(''))
  await writeFile(join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n')

  // The server is not there yet, so the first signal finds nobody; the program goes on.
  const program = await bundleForEverybody(join(import.meta.dirname, 'programs', 'write-for-another.mjs'))
  const args = [program, workload.endpoint, certDir, join(data, 'postmaster.pid')]
  const writer = world.start(process.execPath, args, { ...user, cwd: '/', stdio: ['pipe', 'pipe', 'inherit'] })
  const [hello] = (await Promise.race([once(writer.stdout!, 'data'), once(writer, 'exit')])) as [unknown]
  expect(String(hello)).toMatch(/^ready$/m)
  const postgres = world.start(join(bin, 'postgres'), ['-D', data], { ...user, cwd: '/', stdio: 'ignore' })
  await world.accepts(port, postgres)
})

/** One file with everything in it: its user may not be able to read the repository. */
async function bundleForEverybody(entry: string): Promise<string> {
  const outfile = join(world.directory, 'program.mjs')
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)` },
  })
  return outfile
}

async function query(): Promise<string> {
  const { client } = world
  const address = `host=127.0.0.1 port=${port} user=postgres dbname=postgres sslmode=verify-ca`
  const files = `sslcert=${client.certFilePath} sslkey=${client.keyFilePath} sslrootcert=${client.caFilePath}`
  const { stdout } = await run(join(bin, 'psql'), [`${address} ${files}`, '-Atc', 'select 40 + 2'])
  return stdout.trim()
}

function shownSerial(): string | undefined {
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-starttls', 'postgres']
  const { stdout } = spawnSync(openssl, args, { input: '', encoding: 'utf8' })
  const [pem] = /-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/.exec(stdout) ?? []
  return pem === undefined ? undefined : new X509Certificate(pem).serialNumber.toLowerCase()
}

test('PostgreSQL serves with the files of a writer that runs as its user, and follows its rotations', async () => {
  // It listens a moment before it is ready for clients.
  await expect.poll(query, { timeout: 10_000 }).toBe('42')
  expect(shownSerial()).toBe(workload.svid.serialNumber)
  for (let rotation = 0; rotation < 3; rotation++) {
    await world.agent.rotate()
    await expect.poll(shownSerial, { timeout: 10_000 }).toBe(workload.svid.serialNumber)
    expect(await query()).toBe('42')
  }
})

test('without a client certificate there is no way in', async () => {
  const address = `host=127.0.0.1 port=${port} user=postgres dbname=postgres sslmode=verify-ca`
  const without = `${address} sslcert= sslrootcert=${world.client.caFilePath}`
  await expect(run(join(bin, 'psql'), [without, '-Atc', 'select 1'])).rejects.toThrow(/certificate/)
})

test('the example for PostgreSQL clients proves the server, through rotations, and refuses another', async () => {
  const foreign = join(world.directory, 'foreign')
  await mkdir(foreign)
  await writeFile(join(foreign, 'package.json'), '{ "private": true }')
  await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', 'pg@^8.23.1'], { cwd: foreign })
  const directory = await projects.install('postgresql-client', { pg: join(foreign, 'node_modules/pg') })
  const { endpoint } = await world.workload('spiffe://example.org/shop')
  const env = { SPIFFE_ENDPOINT_SOCKET: endpoint, PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' }
  for (let rotation = 0; rotation < 2; rotation++) {
    expect(await projects.start(directory, 'client.js', env).ended()).toEqual({ code: 0, output: '{ answer: 42 }\n' })
    await world.agent.rotate()
    await expect.poll(shownSerial, { timeout: 10_000 }).toBe(workload.svid.serialNumber)
  }
  const strict = await projects.install('postgresql-client', { pg: join(foreign, 'node_modules/pg') })
  const script = join(strict, 'client.js')
  await writeFile(script, (await readFile(script, 'utf8')).replace('example.org/database', 'example.org/ledger'))
  const { code, output } = await projects.start(strict, 'client.js', env).ended()
  expect(code).toBe(1)
  expect(output).toContain('ERR_PEER_NOT_AUTHORIZED')
})
