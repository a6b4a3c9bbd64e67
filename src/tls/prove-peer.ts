import type { X509Bundle } from '../bundle/index.js'
import { UntrustedPeerError } from '../errors/index.js'
import { verifyX509Svid } from '../svid/index.js'
import type { TlsPurpose } from '../svid/index.js'
import { judge, toAuthorizer } from './authorizer.js'
import type { Authorize, Authorizer } from './authorizer.js'
import type { IdentitySource } from './identity-source.js'
import { newCaller, proofOf } from './proof.js'
import type { Caller } from './proof.js'

/**
 * Proves who sent a chain: by signatures, against the bundle of the leaf's own trust domain.
 * @returns Who it is, and the bundle that proved it.
 * @throws UntrustedPeerError
 */
export function provePeer(
  chain: readonly Uint8Array[],
  source: IdentitySource,
  { purpose, now }: { purpose: TlsPurpose; now: Date },
): { caller: Caller; bundle: X509Bundle } {
  if (chain.length === 0) {
    throw new UntrustedPeerError('ERR_PEER_NO_CERTIFICATE', 'the peer presented no certificate; expected an X509-SVID')
  }
  const verified = verifyX509Svid(chain, source, { now, purpose })
  return { caller: newCaller(verified), bundle: verified.bundle }
}

/** Why a proved ID may not be talked to, or `undefined` when it may. */
export function refusalOf(caller: Caller, authorizer: Authorizer): UntrustedPeerError | undefined {
  const { trustDomain } = authorizer
  if (trustDomain && !caller.id.isMemberOf(trustDomain)) {
    return new UntrustedPeerError(
      'ERR_PEER_NOT_AUTHORIZED',
      `${caller.id.toString()} proved its identity; expected a member of trust domain ${trustDomain.name}`,
    )
  }
  return judge(authorizer, caller.id)
}

/**
 * Judges a peer that was proved earlier by what the source and the authorizer say now: a bundle may have lost the
 * authority it came from, or a list its name. That its certificate has run out since then is no reason: it is proved for the
 * last moment at which it was valid, so that an authority whose certificate was renewed meanwhile still proves it.
 *
 * A bundle is immutable, so while the source answers with the very object that proved the peer there is nothing to prove
 * anew: a rotation that leaves the bundles as they are costs a comparison a peer, and no signature.
 * @returns Why it would be refused now, or `undefined` while all is well or where nobody was proved.
 */
export function recheckPeer(socket: unknown, source: IdentitySource, authorize: Authorize): Error | undefined {
  const proof = proofOf(socket)
  if (!proof?.caller) return undefined
  const { caller, chain, purpose, provedAt, by } = proof
  try {
    if (source.getX509Bundle(caller.trustDomain) !== by.bundle) {
      const lastValidMs = Math.min(Date.now(), caller.expiresAt.getTime())
      // Not before the first proof, if the clock was set back.
      const now = new Date(Math.max(provedAt.getTime(), lastValidMs))
      by.bundle = provePeer(chain, source, { now, purpose }).bundle
    }
    return refusalOf(caller, toAuthorizer(authorize))
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}
