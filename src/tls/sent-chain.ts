import type { X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls'

/** More certificates than any honest peer sends. What lies beyond is not read. */
const longestChain = 32

/**
 * The chain exactly as a client sent it to our server, leaf first.
 * @param leaf - What `getPeerX509Certificate()` returned the first time: on older Node.js a second call has lost it.
 */
export function chainSentByClient(leaf: X509Certificate | undefined): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  for (let next = leaf; next && chain.length < longestChain; next = next.issuerCertificate) chain.push(next.raw)
  return chain
}

/**
 * What is left of the chain that a server sent to our client, leaf first. Node links it by issuer *name* and fills it
 * up from the trusted roots, so nothing may be concluded from the links: the result is raw material for
 * `verifyX509Svid`, which follows signatures only.
 */
export function chainSentByServer(leaf: PeerCertificate | DetailedPeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  let next: Partial<DetailedPeerCertificate> | undefined = leaf
  while (next?.raw && chain.length < longestChain) {
    chain.push(next.raw)
    const issuer: DetailedPeerCertificate | undefined = next.issuerCertificate
    // Node marks a self-signed certificate by making it its own issuer.
    next = issuer === next ? undefined : issuer
  }
  return chain
}
