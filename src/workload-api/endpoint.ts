import { isIPv4, isIPv6 } from 'node:net'
import { InvalidInputError } from '../errors/index.js'

/** Environment variable that names the endpoint when no option does. */
export const endpointVariable = 'SPIFFE_ENDPOINT_SOCKET'

/** A Unix domain socket. */
export interface UnixEndpoint {
  readonly kind: 'unix'
  /** Absolute path, percent-escapes decoded, nothing else changed. */
  readonly path: string
  /** The address as it was given. */
  readonly text: string
}

/** An IP address and a port. */
export interface TcpEndpoint {
  readonly kind: 'tcp'
  /** IPv4 or IPv6 address, without brackets. */
  readonly host: string
  readonly port: number
  /** The address as it was given. */
  readonly text: string
}

/** Where the Workload API is served. */
export type Endpoint = UnixEndpoint | TcpEndpoint

/** What fits into `sun_path`, without its closing zero. */
const longestPath = process.platform === 'linux' ? 107 : 103

// RFC 3986 §3.3: the characters of a path, with the slash and the percent sign of escapes.
const pathCharacters = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*$/

function refuse(text: string, why: string): never {
  const shown = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
  throw new InvalidInputError(
    'ERR_ENDPOINT_INVALID',
    `${shown} is not a Workload API endpoint: ${why}. Allowed: unix:///absolute/path.sock, or tcp://IP:PORT with an IP address such as tcp://127.0.0.1:8081`,
  )
}

function decodePath(text: string, path: string): string {
  if (!pathCharacters.test(path)) refuse(text, 'the path has a character that must be percent-encoded')
  let decoded
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return refuse(text, 'the path has a percent-escape that is not UTF-8')
  }
  if (decoded.includes('\0')) refuse(text, 'the path has a zero byte')
  return decoded
}

function parseUnix(text: string, rest: string): UnixEndpoint {
  if (/[?#]/.test(rest)) refuse(text, 'a unix address has neither query nor fragment')
  // Workload Endpoint §4: the authority is not set; "unix:/path" and "unix:///path" both say so.
  const path = rest.startsWith('//') ? rest.slice(2) : rest
  if (path === '') refuse(text, 'the path is missing')
  if (!path.startsWith('/')) {
    refuse(text, rest.startsWith('//') ? 'a unix address has no host' : 'the path is not absolute')
  }
  if (path.endsWith('/')) refuse(text, 'the path is that of a directory')
  const decoded = decodePath(text, path)
  // gRPC would read what follows two slashes as a host.
  if (decoded.startsWith('//')) refuse(text, 'the path starts with two slashes')
  if (Buffer.byteLength(decoded) > longestPath) {
    refuse(text, `the path is longer than the ${longestPath} bytes that a socket address holds`)
  }
  return { kind: 'unix', path: decoded, text }
}

function parseTcp(text: string, rest: string): TcpEndpoint {
  if (!rest.startsWith('//')) refuse(text, 'the address is missing')
  const authority = rest.slice(2)
  const [end] = /[/?#]/.exec(authority) ?? []
  if (end) refuse(text, `a tcp address has ${end === '/' ? 'no path' : end === '?' ? 'no query' : 'no fragment'}`)
  if (authority.includes('@')) refuse(text, 'a tcp address has no user')
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(authority)
  if (!match) return refuse(text, 'the host is not an IP address (IPv6 stands in brackets)')
  const [, v6, v4, port] = match
  const host = v6 ?? v4 ?? ''
  // A zone ("%eth0") is not part of an address in a URI as the standard means it.
  const isAddress = v6 === undefined ? isIPv4(host) : isIPv6(host) && !host.includes('%')
  if (!isAddress) refuse(text, 'the host is not an IP address')
  if (!port) return refuse(text, 'the port is missing')
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65_535) refuse(text, 'the port is not one from 1 to 65535')
  return { kind: 'tcp', host, port: Number(port), text }
}

/**
 * Reads an endpoint address: `unix:///run/agent.sock`, `unix:/run/agent.sock` or `tcp://127.0.0.1:8081`.
 * Nothing is repaired: what a URL parser would mend is refused.
 * @throws InvalidInputError with code `ERR_ENDPOINT_INVALID`; the message says what is allowed.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md#4-locating-the-endpoint
 */
export function parseEndpoint(text: string): Endpoint {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):([^]*)$/.exec(text)
  if (!match) return refuse(text, text === '' ? 'it is empty' : 'the scheme is missing')
  const [, scheme = '', rest = ''] = match
  switch (scheme.toLowerCase()) {
    case 'unix':
      return parseUnix(text, rest)
    case 'tcp':
      return parseTcp(text, rest)
    default:
      return refuse(text, 'the scheme is neither unix nor tcp')
  }
}

/**
 * The endpoint that the option names, else the one that `SPIFFE_ENDPOINT_SOCKET` names. No path is guessed.
 * @throws InvalidInputError with code `ERR_ENDPOINT_NOT_CONFIGURED` or `ERR_ENDPOINT_INVALID`.
 */
export function resolveEndpoint(option?: string, env: NodeJS.ProcessEnv = process.env): Endpoint {
  // An option that was given and is empty is a mistake, not an absence.
  const text = option ?? env[endpointVariable]
  if (text === undefined || (option === undefined && text === '')) {
    throw new InvalidInputError(
      'ERR_ENDPOINT_NOT_CONFIGURED',
      `no Workload API endpoint: set ${endpointVariable} or the option endpoint, for example to unix:///run/spire/sockets/agent.sock`,
    )
  }
  return parseEndpoint(text)
}
