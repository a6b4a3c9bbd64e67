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
 * @throws UntrustedPeerError
 */
export function provePeer(
  chain: readonly Uint8Array[],
  source: IdentitySource,
  { purpose, now }: { purpose: TlsPurpose; now: Date },
): Caller {
  if (chain.length === 0) {
    throw new UntrustedPeerError('ERR_PEER_NO_CERTIFICATE', 'the peer presented no certificate; expected an X509-SVID')
  }
  return newCaller(verifyX509Svid(chain, source, { now, purpose }))
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
 * authority it came from, or a list its name. That its certificate has run out since then is no reason.
 * @returns Why it would be refused now, or `undefined` while all is well or where nobody was proved.
 */
export function recheckPeer(socket: unknown, source: IdentitySource, authorize: Authorize): Error | undefined {
  const proof = proofOf(socket)
  if (!proof?.caller) return undefined
  try {
    return refusalOf(
      provePeer(proof.chain, source, { now: proof.provedAt, purpose: proof.purpose }),
      toAuthorizer(authorize),
    )
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}
