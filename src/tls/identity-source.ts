import type { X509Bundle, X509BundleSource } from '../bundle/index.js'
import type { X509SvidSource } from '../svid/index.js'

/**
 * Where a connection takes its identity and its roots from: a live source, files on disk, a fixed value in a test.
 * It is asked at each new connection, so whatever it returns then is what the peer sees. What has not changed should be the
 * same object as before: then nothing is built, and nobody proved, anew.
 */
export interface IdentitySource extends X509SvidSource, X509BundleSource {
  /**
   * Calls `listener` after each replacement or withdrawal; returns the function that ends it. Connections are fresh
   * without it; with it, idle sockets of an old identity are closed at once.
   */
  onUpdate?(listener: () => void): () => void
  /**
   * All bundles, for clients whose authorizer admits more than one trust domain. Without it such a client trusts
   * the trust domain of its own SVID only.
   */
  readonly context?: { readonly bundles: Iterable<X509Bundle> }
}
