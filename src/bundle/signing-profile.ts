import { keyUsageBit, type Certificate } from '../encoding/index.js'
import { SpiffeError } from '../errors/index.js'
import { SpiffeId } from '../spiffe-id/index.js'
import { findKeyFault } from './key-profile.js'

/**
 * What keeps a certificate from signing SVIDs, or `undefined`. The one profile for intermediates and authorities:
 * X509-SVID §3.2, §4.1 and §4.3.
 * @param role - An `authority` is trusted by configuration, not as an SVID: it may lack keyUsage, as many private roots
 *   do. An `intermediate` may not.
 */
export function findSigningFault(certificate: Certificate, role: 'authority' | 'intermediate'): string | undefined {
  const { extensions } = certificate
  if (!extensions.isCa) return 'basicConstraints does not say that it is a CA'
  if (extensions.keyUsage === undefined) {
    if (role === 'intermediate') return 'keyUsage is missing'
  } else if ((extensions.keyUsage & keyUsageBit.keyCertSign) === 0) return 'keyUsage lacks keyCertSign'
  return findKeyFault(certificate.publicKeyKind) ?? findNameFault(certificate)
}

/** §3.2: its SPIFFE ID, if it has one, has no path; the trust domain may be any. A CA without an ID is as good. */
function findNameFault(certificate: Certificate): string | undefined {
  const { uriSans } = certificate
  if (uriSans.length === 0) return undefined
  if (uriSans.length > 1) return `it has ${uriSans.length} URI names; a signing certificate has at most one`
  const raw = Buffer.from(uriSans[0] ?? []).toString('latin1')
  if (!/^spiffe:/i.test(raw)) return undefined
  try {
    const { path } = SpiffeId.parse(raw)
    return path === '' ? undefined : 'its SPIFFE ID has a path; the ID of a signing certificate has none'
  } catch (error) {
    return `its URI name is no SPIFFE ID: ${error instanceof SpiffeError ? error.message : 'unreadable'}`
  }
}
