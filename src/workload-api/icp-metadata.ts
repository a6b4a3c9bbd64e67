import { InvalidInputError } from '../errors/index.js'
import type { Endpoint } from './endpoint.js'

/** Labels whose names an environment variable cannot carry. They are sent in lower case, as headers are. */
export interface WorkloadLabels {
  /** Labels of the pod, such as `team.example.com`. */
  pod?: Readonly<Record<string, string>> | undefined
  /** Labels of the container. */
  docker?: Readonly<Record<string, string>> | undefined
}

export interface IcpMetadataSource {
  readonly env: NodeJS.ProcessEnv
  readonly labels?: WorkloadLabels | undefined
  readonly endpoint: Endpoint['kind']
  readonly pid: number
  readonly platform: NodeJS.Platform
}

export interface IcpMetadata {
  readonly entries: Readonly<Record<string, string>>
  /** What was not sent and why; names, never values. */
  readonly warnings: readonly string[]
}

const fixed = {
  POD_NAMESPACE: 'x-k8s-namespace',
  POD_NAME: 'x-k8s-pod-name',
  POD_UID: 'x-k8s-pod-uid',
  SERVICE_ACCOUNT: 'x-k8s-service-account',
  DOCKER_CONTAINER_ID: 'x-docker-container-id',
  DOCKER_CONTAINER_NAME: 'x-docker-container-name',
  DOCKER_IMAGE_NAME: 'x-docker-image-name',
}

const labelled = [
  { prefix: 'POD_LABEL_', key: 'x-k8s-pod-label-', labels: 'pod' },
  { prefix: 'DOCKER_LABEL_', key: 'x-docker-label-', labels: 'docker' },
] as const

// From 8 KiB of headers on a gRPC server refuses requests at random, and from 16 KiB on all; ours are not all of them.
const mostBytes = 7.5 * 1024
/** What each header counts besides its octets (RFC 9113 §6.5.2). */
const bytesPerHeader = 32

/**
 * Labels whose values are texts.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` that names the label.
 */
export function expectLabels(labels: WorkloadLabels | undefined): WorkloadLabels | undefined {
  for (const kind of ['pod', 'docker'] as const) {
    for (const [label, value] of Object.entries<unknown>(labels?.[kind] ?? {})) {
      if (typeof value === 'string') continue
      const name = `labels.${kind}[${JSON.stringify(label)}]`
      throw new InvalidInputError('ERR_INVALID_ARGUMENT', `expected ${name} to be a string, found ${typeof value}`)
    }
  }
  return labels
}

/** Where a value comes from, the header that it is for, and the value. */
type Candidate = readonly [origin: string, key: string, value: string]

function labelCandidates({ env, labels, platform }: IcpMetadataSource): Candidate[] {
  return labelled.flatMap(({ prefix, key, labels: kind }) => {
    const found: Candidate[] = []
    for (const [name, value = ''] of Object.entries(env)) {
      // Windows keeps the case of a variable and does not mean it.
      const compared = platform === 'win32' ? name.toUpperCase() : name
      const label = name.slice(prefix.length)
      if (compared.startsWith(prefix) && label !== '') found.push([name, key + label.toLowerCase(), value])
    }
    for (const [label, value] of Object.entries(labels?.[kind] ?? {})) {
      found.push([`labels.${kind}[${JSON.stringify(label)}]`, key + label.toLowerCase(), value])
    }
    return found
  })
}

/** Why a header cannot be sent; `undefined` when it can. */
function findFault(key: string, value: string): string | undefined {
  if (!/^[0-9a-z_.-]+$/.test(key)) return 'its name has a character that a header name cannot carry'
  if (key.endsWith('-bin')) return 'its name ends in "-bin", which gRPC keeps for bytes'
  // Printable ASCII; anything else fails the whole call.
  if (!/^[ -~]*$/.test(value)) return 'its value has a character that a header cannot carry'
  return undefined
}

/**
 * What an ICP agent attests a workload by: the environment as headers. Self-asserted, and for an ICP endpoint only.
 * A value that cannot be carried is left out with a warning; it does not fail the call.
 */
export function buildIcpMetadata(source: IcpMetadataSource): IcpMetadata {
  const candidates: Candidate[] = [
    // Over a Unix socket the kernel could tell; over tcp the agent has nothing else.
    ...(source.endpoint === 'tcp' ? [['process.pid', 'x-pid', String(source.pid)] as const] : []),
    ...Object.entries(fixed).map(([name, key]) => [name, key, source.env[name] ?? ''] as const),
    ...labelCandidates(source),
  ]
  const entries: Record<string, string> = {}
  const warnings: string[] = []
  let bytes = 0
  for (const [origin, key, raw] of candidates) {
    const value = raw.trim()
    if (value === '') continue
    const fault = findFault(key, value)
    if (fault) {
      warnings.push(`${origin} is not sent to the agent: ${fault}`)
      continue
    }
    const replaced = entries[key]
    const cost = key.length + value.length + bytesPerHeader
    const saved = replaced === undefined ? 0 : key.length + replaced.length + bytesPerHeader
    if (bytes + cost - saved > mostBytes) {
      warnings.push(`${origin} is not sent to the agent: all headers together would exceed ${mostBytes} bytes`)
      continue
    }
    bytes += cost - saved
    if (replaced !== undefined) warnings.push(`${origin} replaces another value for the header ${key}`)
    entries[key] = value
  }
  return { entries, warnings }
}
