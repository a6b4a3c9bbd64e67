import { resolve } from 'node:path'
import { InvalidInputError } from '../errors/index.js'
import { expectMs } from '../flow/index.js'
import type { SvidFileWriterOptions } from '../files/index.js'
import { X509Source } from '../source/index.js'
import type { X509SourceOptions } from '../source/index.js'
import { WorkloadApiClient, endpointVariable, parseEndpoint } from '../workload-api/index.js'
import { JwtIdentityFiles, noFiles } from './identity-files.js'
import type { IdentityFiles } from './identity-files.js'
import type { Claims } from './shared-instance.js'
import { untilReady } from './until-ready.js'
import type { UntilReadyOptions } from './until-ready.js'

/** Where agents listen when nothing says otherwise. */
const defaultEndpoint = 'unix:///run/spire/sockets/agent.sock'

export interface QuickStartOptions extends Pick<
  X509SourceOptions,
  | 'expectedSpiffeId'
  | 'pickSvid'
  | 'onDenied'
  | 'initialTimeoutMs'
  | 'signal'
  | 'dialect'
  | 'metadata'
  | 'labels'
  | 'limits'
> {
  /**
   * Agent address: `unix:///run/agent.sock` or `tcp://127.0.0.1:8081`.
   * Default `$SPIFFE_ENDPOINT_SOCKET`, else `unix:///run/spire/sockets/agent.sock`.
   */
  endpoint?: string | undefined
  /** Directory of the files; checked, or created for this user alone. Default: a new private one, random name. */
  certDir?: string | undefined
  /** Names, modes and readers of the files; `false` writes none, for a root that is read-only. */
  files?: Omit<SvidFileWriterOptions, 'certDir'> | false | undefined
  /**
   * `false`: resolve at once, without an identity, and emit `ready` when there is one. Until then the process is not
   * held, connections fail, and `isExpired()` is `true`. Default `true`.
   */
  wait?: boolean | undefined
}

/** The options of one call, read once. */
export interface QuickStartSettings {
  readonly createClient: () => WorkloadApiClient
  readonly openSource: (client: WorkloadApiClient, signal: AbortSignal | undefined) => Promise<X509Source>
  readonly openFiles: (client: WorkloadApiClient) => Promise<IdentityFiles>
  /** Waits where this call wants to; the instance may be one that another call made without waiting. */
  readonly ready: (source: X509Source) => Promise<void>
  /** What this call insists on, and what an instance made by it is made with. */
  readonly identity: { readonly claims: Claims; readonly made: Claims }
  readonly signal: AbortSignal | undefined
}

/**
 * Reads `(options)` or `(socketPath, certDir)`.
 * @throws InvalidInputError `ERR_ENDPOINT_INVALID`, `ERR_INVALID_ARGUMENT`
 */
export function readQuickStartOptions(
  options: QuickStartOptions | string = {},
  certDir?: string,
  env: NodeJS.ProcessEnv = process.env,
): QuickStartSettings {
  if (typeof options === 'string')
    return readQuickStartOptions({ endpoint: fromSocketPath(options), certDir }, undefined, env)
  const {
    endpoint: given,
    certDir: directory,
    files,
    wait,
    signal,
    dialect,
    metadata,
    labels,
    limits,
    ...source
  } = options
  const timeoutMs = expectMs('initialTimeoutMs', source.initialTimeoutMs ?? 30_000)
  // An empty variable is one that is not set; an empty option is a mistake, and is told so.
  const endpoint = given ?? (env[endpointVariable] || defaultEndpoint)
  const claims = {
    endpoint: given && canonical(given),
    certDir: directory && resolve(directory),
    expectedSpiffeId: source.expectedSpiffeId?.toString(),
  }
  return {
    createClient: () => new WorkloadApiClient({ endpoint, dialect, metadata, labels, limits }),
    openSource: (client, abandoned) => openSource({ ...source, client }, wait, abandoned),
    openFiles: (client) => openFiles(directory, files, client),
    ready: (opened) => ready(opened, wait, { timeoutMs, signal }),
    identity: { claims, made: { ...claims, endpoint: canonical(endpoint) } },
    signal,
  }
}

async function openSource(options: X509SourceOptions, wait = true, signal?: AbortSignal): Promise<X509Source> {
  if (wait) return X509Source.open({ ...options, signal })
  return X509Source.start(options)
}

async function ready(source: X509Source, wait = true, options: UntilReadyOptions): Promise<void> {
  if (wait) await untilReady(source, options)
}

async function openFiles(
  certDir: string | undefined,
  files: QuickStartOptions['files'],
  client: WorkloadApiClient,
): Promise<IdentityFiles> {
  if (files !== false) {
    // Loaded when needed: a program that only takes X509Source from the root entry starts without it.
    const { SvidFileWriter } = await import('../files/index.js')
    const writer = await SvidFileWriter.open({ ...files, certDir })
    return files?.jwt ? new JwtIdentityFiles(writer, client) : writer
  }
  if (certDir === undefined) return noFiles
  throw new InvalidInputError('ERR_INVALID_ARGUMENT', 'certDir says where to write, and files: false to write nothing')
}

/** `/run/agent.sock`, as the Python original takes it, besides the forms that the standard knows. */
function fromSocketPath(text: string): string {
  return text.startsWith('/') ? `unix://${text.split('/').map(encodeURIComponent).join('/')}` : text
}

/** Two spellings of one address are one address. */
function canonical(text: string): string {
  const endpoint = parseEndpoint(text)
  return endpoint.kind === 'unix' ? `unix://${endpoint.path}` : `tcp://${endpoint.host}:${endpoint.port}`
}
