import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls'

/** More certificates than any honest peer sends. What lies beyond is not read. */
const longestChain = 32

/**
 * The chain that a peer sent, leaf first, as far as each certificate names one of the others as its issuer. Node links it
 * by that *name* and may fill it up from the trusted roots, so nothing may be concluded from the links: the result is raw
 * material for `verifyX509Svid`, which follows signatures only.
 * @param leaf - What Node passes to `checkServerIdentity`, or `getPeerCertificate(true)`. Not `getPeerX509Certificate()`,
 * which shows every certificate: before Node.js 26.9 it never frees the memory of those above the leaf, so that anybody who
 * can connect could fill ours.
 */
export function sentChain(leaf: PeerCertificate | DetailedPeerCertificate): readonly Uint8Array[] {
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
