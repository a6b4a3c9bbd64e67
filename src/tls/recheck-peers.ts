import { InvalidInputError } from '../errors/index.js'

/** What servers and clients do about connections that stand when trust changes. */
export interface WithdrawnTrustOptions {
  /**
   * When a bundle, a revocation list or the authorizer's answer changes so that a connected peer would no longer be
   * admitted: end its connections (`'destroy'`), or let them live (`'keep'`). Needs a source with `onUpdate`. Default
   * `'destroy'`.
   */
  onTrustWithdrawn?: 'destroy' | 'keep' | undefined
}

const rechecks = new WeakMap<object, () => void>()

/** Makes a server or client known to {@link recheckPeers}. */
export function onRecheck(endpoint: object, recheck: () => void): void {
  rechecks.set(endpoint, recheck)
}

/**
 * Asks the authorizer anew about every connected peer of a server or client, and ends the connections of those that it no
 * longer admits. Call it when a list that the authorizer reads has changed; bundles and revocation lists are watched
 * without it.
 * @param endpoint - An attached server, or a client of ours: `SpiffeHttpsAgent`, what `createDispatcher` returns,
 * `SpiffeHttp2Client`, a session of `connectHttp2`, gRPC channel credentials. Of gRPC servers what `serveGrpc` returns.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` for anything else: nobody of it could be asked about.
 */
export function recheckPeers(endpoint: object): void {
  const recheck = rechecks.get(endpoint)
  if (!recheck) {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      'recheckPeers takes a server that attachSpiffe was called for, or a client of ours; the peers of this are not known',
    )
  }
  recheck()
}
