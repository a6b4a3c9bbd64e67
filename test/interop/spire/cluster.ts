import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { Daemon } from './daemon.js'
import { spireBinaries } from './setup.mjs'

export interface SpireServerOptions {
  /** Name of the trust domain, `example.org`. */
  trustDomain: string
  /**
   * Directory for everything that this server and its agents write, one per server; made if absent, never removed.
   * Where workloads of another uid shall reach an agent's socket, they must be able to enter it (mode 0711).
   * Default: a temporary directory that they can enter and that `close` removes.
   */
  dir?: string | undefined
}

export interface SpireAgentOptions {
  /** Names the agent's folder in the server's directory; unique there. */
  name: string
  /** Path of the Workload API socket, at most 107 bytes. Default `<dir>/<name>/api.sock`. */
  socket?: string | undefined
}

export interface EntryOptions {
  /** The identity to issue, `spiffe://example.org/web`. */
  spiffeId: string
  /** What a workload must show, all of them: `unix:uid:1000`, `unix:path:/usr/bin/node`. */
  selectors: readonly string[]
  /** Whose workloads get it: the SPIFFE ID of one agent. Default: every agent of the server. */
  parentId?: string | undefined
  /** Lifetime of X509-SVIDs, in seconds. Default: the server's, one hour. */
  x509SvidTtl?: number | undefined
  /** Lifetime of JWT-SVIDs, in seconds. Default: the server's, five minutes. */
  jwtSvidTtl?: number | undefined
  hint?: string | undefined
  /** Names of the trust domains whose bundles come with it; `bundleSet` must have made each known. */
  federatesWith?: readonly string[] | undefined
  /** DNS names in the X509-SVID; the first is also its common name. */
  dnsNames?: readonly string[] | undefined
}

/**
 * A real spire-server on the loopback, and through `agent` real agents of it. `close` (or `await using`) ends every
 * process; so does the end of the process that started them, whatever ends it.
 */
export class SpireServer implements AsyncDisposable {
  readonly trustDomain: string
  readonly dir: string
  /** Where agents connect, on 127.0.0.1; the same after a restart. */
  readonly port: number
  readonly #daemon: Daemon
  readonly #ownsDir: boolean
  readonly #agents: SpireAgent[] = []
  #closed = false

  private constructor(at: { trustDomain: string; dir: string; port: number; daemon: Daemon; ownsDir: boolean }) {
    this.trustDomain = at.trustDomain
    this.dir = at.dir
    this.port = at.port
    this.#daemon = at.daemon
    this.#ownsDir = at.ownsDir
  }

  /** Builds SPIRE first where the set-up has not run yet. Resolves when the server is healthy. */
  static async start({ trustDomain, dir: given }: SpireServerOptions): Promise<SpireServer> {
    const { server: program } = await spireBinaries()
    const dir = given === undefined ? await mkdtemp(join(tmpdir(), 'spire-')) : resolve(given)
    const ownsDir = given === undefined
    try {
      await mkdir(dir, { recursive: true, mode: 0o711 })
      if (ownsDir) await chmod(dir, 0o711)
      const home = join(dir, 'server')
      await mkdir(home, { mode: 0o700 })
      const socket = socketPath(join(home, 'api.sock'))
      const config = join(home, 'server.conf')

      // Somebody may take the port between our look and the server's bind.
      for (let attempt = 1; ; attempt++) {
        const port = await freePort()
        await writeFile(config, serverConfig({ trustDomain, home, socket, port }), { mode: 0o600 })
        const args = ['run', '-config', config]
        const daemon = new Daemon({ program, args, socket, log: join(home, 'server.log') })
        try {
          await daemon.start()
          return new SpireServer({ trustDomain, dir, port, daemon, ownsDir })
        } catch (error) {
          if (attempt === 3 || !String(error).includes('address already in use')) throw error
        }
      }
    } catch (error) {
      if (ownsDir) await rm(dir, { recursive: true, force: true })
      throw error
    }
  }

  /** Process id while the server runs. */
  get pid(): number | undefined {
    return this.#daemon.pid
  }

  /** Starts an agent that joins by a token of its own. Resolves when its Workload API is served. */
  async agent({ name, socket: given }: SpireAgentOptions): Promise<SpireAgent> {
    if (!/^[\w-]+$/.test(name) || name === 'server') throw new Error(`not a name for an agent: ${name}`)
    const { agent: program } = await spireBinaries()
    const home = join(this.dir, name)
    const data = join(home, 'data')
    const socket = socketPath(given ?? join(home, 'api.sock'))
    await mkdir(home, { mode: 0o711 })
    await mkdir(data, { mode: 0o700 })

    const bundle = join(home, 'bundle.pem')
    await writeFile(bundle, await this.run(['bundle', 'show']))
    const answer = await this.run(['token', 'generate', '-spiffeID', this.#everyAgent, '-output', 'json'])
    const { value: token } = JSON.parse(answer) as { value: string }
    const config = join(home, 'agent.conf')
    const settings = { trustDomain: this.trustDomain, port: this.port, data, socket, bundle, token }
    await writeFile(config, agentConfig(settings), { mode: 0o600 })

    const daemon = new Daemon({ program, args: ['run', '-config', config], socket, log: join(home, 'agent.log') })
    const id = `spiffe://${this.trustDomain}/spire/agent/join_token/${token}`
    const agent = new SpireAgent({ name, id, endpoint: `unix://${socket}`, daemon })
    if (this.#closed) throw new Error('the server was closed')
    // Known before it runs: closing the server meanwhile waits for the start and ends it.
    this.#agents.push(agent)
    await daemon.start()
    return agent
  }

  /** Creates a registration entry and returns its id. */
  async createEntry(entry: EntryOptions): Promise<string> {
    const args = ['-spiffeID', entry.spiffeId, '-parentID', entry.parentId ?? this.#everyAgent]
    for (const selector of entry.selectors) args.push('-selector', selector)
    for (const name of entry.federatesWith ?? []) args.push('-federatesWith', `spiffe://${name}`)
    for (const name of entry.dnsNames ?? []) args.push('-dns', name)
    if (entry.x509SvidTtl !== undefined) args.push('-x509SVIDTTL', String(entry.x509SvidTtl))
    if (entry.jwtSvidTtl !== undefined) args.push('-jwtSVIDTTL', String(entry.jwtSvidTtl))
    if (entry.hint !== undefined) args.push('-hint', entry.hint)
    const result = await this.#change(['entry', 'create', ...args])
    return result.entry!.id
  }

  async deleteEntry(id: string): Promise<void> {
    await this.#change(['entry', 'delete', '-entryID', id])
  }

  /** The server's own bundle as a SPIFFE bundle document (JSON text). */
  bundleShow(): Promise<string> {
    return this.run(['bundle', 'show', '-format', 'spiffe'])
  }

  /** Makes the bundle of a foreign trust domain known, or replaces it; `document` is what its `bundleShow` returned. */
  async bundleSet(trustDomain: string, document: string): Promise<void> {
    await this.#change(['bundle', 'set', '-format', 'spiffe', '-id', `spiffe://${trustDomain}`], document)
  }

  /** Runs any other subcommand of spire-server against this server and returns what it printed. */
  run(args: readonly string[], input?: string): Promise<string> {
    return this.#daemon.run(args, input)
  }

  /** Ends the server alone; its agents go on. */
  stop(): Promise<void> {
    return this.#daemon.stop()
  }

  /** Ends the server alone, without warning. */
  kill(): Promise<void> {
    return this.#daemon.kill()
  }

  /** Stops the server if it runs and starts it with the same keys, entries and port. */
  restart(): Promise<void> {
    return this.#daemon.restart()
  }

  /** Ends every agent and the server, and removes the directory if the harness made it. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#agents.map((agent) => agent.stop()), this.stop()])
    if (this.#ownsDir) await rm(this.dir, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** An alias that every agent gets on top of its own SPIFFE ID, so that an entry need not name one of them. */
  get #everyAgent(): string {
    return `spiffe://${this.trustDomain}/agents`
  }

  /** With JSON output SPIRE reports a refusal in the answer and exits with 0. */
  async #change(args: readonly string[], input?: string): Promise<ChangeResult> {
    const answer = await this.run([...args, '-output', 'json'], input)
    const result = (JSON.parse(answer) as { results: ChangeResult[] }).results[0]
    if (result?.status.code !== 0) {
      throw new Error(`\`${args.join(' ')}\` was refused: ${result?.status.message ?? answer}`)
    }
    return result
  }
}

interface ChangeResult {
  status: { code: number; message: string }
  entry?: { id: string } | null
}

/** A real spire-agent. Its keys and its SVID are on disk, so it can go and come back. */
export class SpireAgent implements AsyncDisposable {
  readonly name: string
  /** Its own SPIFFE ID; the `parentId` of entries for this agent alone. */
  readonly id: string
  /** `unix:///…/api.sock`, ready for `SPIFFE_ENDPOINT_SOCKET`. */
  readonly endpoint: string
  readonly #daemon: Daemon

  /** @internal `SpireServer.agent` makes it. */
  constructor(at: { name: string; id: string; endpoint: string; daemon: Daemon }) {
    this.name = at.name
    this.id = at.id
    this.endpoint = at.endpoint
    this.#daemon = at.daemon
  }

  /** Process id while the agent runs. */
  get pid(): number | undefined {
    return this.#daemon.pid
  }

  /** Starts it again after `stop` or `kill`. */
  start(): Promise<void> {
    return this.#daemon.start()
  }

  /** Ends it in an orderly way. */
  stop(): Promise<void> {
    return this.#daemon.stop()
  }

  /** Ends it without warning, as a crash would. */
  kill(): Promise<void> {
    return this.#daemon.kill()
  }

  /** Stops it if it runs, starts it, and resolves when its Workload API is served again. */
  restart(): Promise<void> {
    return this.#daemon.restart()
  }

  /** Runs a subcommand of spire-agent against the Workload API, `['api', 'fetch', 'x509']`; returns what it printed. */
  run(args: readonly string[]): Promise<string> {
    return this.#daemon.run(args)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

/** Refused here, because what the kernel says about a longer one does not name the length. */
function socketPath(path: string): string {
  const bytes = Buffer.byteLength(resolve(path))
  if (bytes > 107) throw new Error(`a socket path may have 107 bytes, this one has ${bytes}: ${path}`)
  return resolve(path)
}

function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() =>
        typeof address === 'object' && address !== null ? resolvePort(address.port) : reject(new Error('no port')),
      )
    })
  })
}

/** The short intervals are for the tests: a change is known to workloads after seconds instead of up to ten. */
function serverConfig(at: { trustDomain: string; home: string; socket: string; port: number }): string {
  const quoted = JSON.stringify
  return `server {
  bind_address = "127.0.0.1"
  bind_port = ${at.port}
  socket_path = ${quoted(at.socket)}
  trust_domain = ${quoted(at.trustDomain)}
  data_dir = ${quoted(at.home)}
  log_level = "INFO"
  experimental {
    cache_reload_interval = "1s"
  }
}
plugins {
  DataStore "sql" {
    plugin_data {
      database_type = "sqlite3"
      connection_string = ${quoted(join(at.home, 'datastore.sqlite3'))}
    }
  }
  NodeAttestor "join_token" {
    plugin_data {}
  }
  KeyManager "disk" {
    plugin_data {
      keys_path = ${quoted(join(at.home, 'keys.json'))}
    }
  }
}
`
}

/** No hash of the workload's binary: reading the 100 MB of node for every call would only measure the disk. */
function agentConfig(at: {
  trustDomain: string
  port: number
  data: string
  socket: string
  bundle: string
  token: string
}): string {
  const quoted = JSON.stringify
  return `agent {
  server_address = "127.0.0.1"
  server_port = ${at.port}
  socket_path = ${quoted(at.socket)}
  trust_bundle_path = ${quoted(at.bundle)}
  trust_domain = ${quoted(at.trustDomain)}
  data_dir = ${quoted(at.data)}
  join_token = ${quoted(at.token)}
  log_level = "INFO"
  experimental {
    sync_interval = "1s"
  }
}
plugins {
  NodeAttestor "join_token" {
    plugin_data {}
  }
  KeyManager "disk" {
    plugin_data {
      directory = ${quoted(at.data)}
    }
  }
  WorkloadAttestor "unix" {
    plugin_data {
      discover_workload_path = true
      workload_size_limit = -1
    }
  }
}
`
}
