import { BlockList, isIP, isIPv6 } from 'node:net'
import { InvalidInputError } from '../../errors/index.js'

/** Where one workload's server listens. */
export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string; readonly mode: number }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** A TCP address of this machine, for where Unix sockets do not reach. */
export interface DevTcpOptions {
  /** A loopback address. Default `127.0.0.1`. */
  host?: string | undefined
  /** Default 0: a free port of the system's choice. */
  port?: number | undefined
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/**
 * @throws InvalidInputError for an address that other machines could reach: whoever connects gets the identity, and
 *   only the loopback interface says that the caller is on this machine (Workload Endpoint, 3).
 */
export function tcpAddress({ host = '127.0.0.1', port = 0 }: DevTcpOptions): ListenAddress {
  if (isIP(host) === 0 || !loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')) {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      `tcp.host must be a loopback address such as 127.0.0.1, found ${JSON.stringify(host)}: ` +
        'whoever can connect is given the identity',
    )
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `tcp.port must be 0 to 65535, found ${port}`)
  }
  return { kind: 'tcp', host, port }
}

/** The address in the form that `SPIFFE_ENDPOINT_SOCKET` takes. */
export function endpointOf(address: ListenAddress): string {
  if (address.kind === 'tcp') {
    return `tcp://${isIPv6(address.host) ? `[${address.host}]` : address.host}:${address.port}`
  }
  // A URI path: what is not allowed in one is escaped, and so are the characters that would end it.
  return `unix://${encodeURI(address.path).replaceAll('?', '%3F').replaceAll('#', '%23')}`
}
