import ts from 'typescript'

/** One room of the house: its folder under `src`, what it may reach outside, and whom it must not know. */
interface Room {
  /** Folder under `src`. A room may import the rooms above it in the list, through their `index.ts`. */
  room: string
  is: string
  /** Rooms above it that it must not import all the same. */
  not?: readonly string[]
  /** Packages that it may import; none by default. */
  packages?: readonly string[]
  /** Built-in modules that it may import; every one by default. */
  builtins?: readonly string[]
}

const pure = ['node:buffer', 'node:crypto', 'node:util']
const supply = ['workload-api', 'source', 'federation', 'registry']

/** The order of the rooms is the order of the imports. `docs/architecture.md` shows this table. */
export const rooms: readonly Room[] = [
  { room: 'errors', is: 'the error classes and the table of codes', builtins: [] },
  { room: 'encoding', is: 'DER, PEM, base64url, X.509: strict and bounded, no SPIFFE words', builtins: pure },
  { room: 'flow', is: 'latest-wins iteration, backoff, sleep, single flight', not: ['encoding'] },
  { room: 'spiffe-id', is: 'SpiffeId, TrustDomain', builtins: pure },
  { room: 'bundle', is: 'trust bundles and their sets', builtins: pure, packages: ['jose'] },
  { room: 'svid', is: 'SVIDs, the profiles, path validation', builtins: pure, packages: ['jose'] },
  {
    room: 'workload-api',
    is: 'endpoint, wire, client: bytes become values',
    packages: ['eventemitter3', 'protobufjs'],
  },
  { room: 'source', is: 'always the newest identity', packages: ['eventemitter3', 'jose'] },
  { room: 'federation', is: 'bundle endpoints' },
  { room: 'registry', is: 'client of the registration API' },
  { room: 'tls', is: 'authorizers, proof of the peer, TLS options', not: supply },
  { room: 'files', is: 'the same identity on disk, both ways', not: [...supply, 'tls'], packages: ['eventemitter3'] },
  { room: 'adapters/http', is: 'from a proved socket to the caller of a request', not: supply },
  { room: 'adapters/https', is: 'node:https servers and agents', not: supply },
  { room: 'adapters/http2', is: 'node:http2 servers and sessions', not: supply },
  { room: 'adapters/undici', is: 'undici and the global fetch', not: supply, packages: ['undici'] },
  { room: 'adapters/grpc', is: 'grpc-js channels and servers', not: supply, packages: ['@grpc/grpc-js'] },
  { room: 'adapters/express', is: 'Express middleware', not: supply, packages: ['express'] },
  { room: 'adapters/fastify', is: 'Fastify plugin', not: supply, packages: ['fastify', 'fastify-plugin'] },
  { room: 'quickstart', is: 'QuickStartSVID: composition only', packages: ['eventemitter3'] },
  {
    room: 'dev/authority',
    is: 'a signing CA for development',
    packages: ['@peculiar/x509', 'reflect-metadata', 'jose'],
  },
  { room: 'dev/agent', is: 'the embedded dev agent', packages: ['@grpc/grpc-js', '@grpc/proto-loader', 'jose'] },
  {
    room: 'dev/testing',
    is: 'the test kit: the dev agent with a steering wheel',
    packages: ['@grpc/grpc-js', '@peculiar/x509', 'reflect-metadata', 'jose'],
  },
  { room: 'cli', is: 'one file per command' },
]

/** What the root entry must not reach: it loads without any foreign package but the run-time dependencies. */
const notFromRoot = ['adapters/undici', 'adapters/grpc', 'adapters/express', 'adapters/fastify', 'dev/', 'cli']

const rank = new Map(rooms.map(({ room }, index) => [room, index]))

function roomOf(path: string): Room | undefined {
  return rooms.find(({ room }) => path.startsWith(`${room}/`))
}

/** Resolves `./x.js` against the importing file; both are relative to `src`, with forward slashes. */
function resolve(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/').replace(/\.js$/, '.ts')
}

function judge(file: string, specifier: string): string | undefined {
  const self = roomOf(file)
  if (!specifier.startsWith('.')) {
    if (specifier.startsWith('node:')) {
      return self?.builtins && !self.builtins.includes(specifier) ? `${self.room} may not use ${specifier}` : undefined
    }
    const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : specifier.split('/')[0]!
    return self?.packages?.includes(name) ? undefined : `${self?.room ?? 'the root'} may not import the package ${name}`
  }
  const target = resolve(file, specifier)
  const other = roomOf(target)
  if (!other) return `${specifier} leads out of the rooms`
  if (other === self) return undefined
  if (target !== `${other.room}/index.ts`) return `${other.room} is entered past its index.ts: ${specifier}`
  if (!self) {
    return notFromRoot.some((banned) => other.room.startsWith(banned))
      ? `the root may not import ${other.room}`
      : undefined
  }
  if (rank.get(other.room)! > rank.get(self.room)!) return `${self.room} may not import ${other.room}: it comes later`
  if (self.not?.includes(other.room)) return `${self.room} may not import ${other.room}`
  if (self.room.startsWith('adapters/') && other.room.startsWith('adapters/') && other.room !== 'adapters/http') {
    return `adapters do not import each other: ${self.room} imports ${other.room}`
  }
  return undefined
}

/**
 * Reads the imports (also `import type`, re-exports and `import()`) of every file and says what breaks the table.
 * @param files - Source text by path relative to `src`.
 */
export function findLayerFaults(files: ReadonlyMap<string, string>): string[] {
  const faults: string[] = []
  for (const [file, text] of files) {
    if (file !== 'index.ts' && !roomOf(file)) faults.push(`${file}: its folder is not in the table`)
    for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
      const fault = judge(file, fileName)
      if (fault) faults.push(`${file}: ${fault}`)
    }
  }
  return faults
}

/** The table as `docs/architecture.md` shows it. */
export function renderRooms(): string {
  const rows = rooms.map(({ room, is, not = [], packages = [] }) => {
    const adapter = room.startsWith('adapters/') && room !== 'adapters/http'
    const bans = [...not, ...(adapter ? ['other adapters'] : [])]
    return `| \`${room}\` | ${is} | ${bans.join(', ') || '—'} | ${packages.join(', ') || '—'} |`
  })
  return ['| room | what it holds | must not import, though earlier | packages |', '|---|---|---|---|', ...rows].join(
    '\n',
  )
}
