import { findKeyFault } from '../bundle/index.js'
import { keyUsageBit, type Certificate } from '../encoding/index.js'
import { SpiffeError } from '../errors/index.js'
import { SpiffeId } from '../spiffe-id/index.js'

/** The leaf's SPIFFE ID, or what keeps the certificate from being a leaf SVID. */
export type LeafProfile = { readonly id: SpiffeId; readonly fault?: never } | { readonly fault: string }

/**
 * The one leaf profile, for the workload's own SVID and for every peer: X509-SVID §2, §3.1, §4.1, §4.3 and the
 * validation list of §5.2.
 */
export function readLeafProfile(certificate: Certificate): LeafProfile {
  const { extensions, uriSans } = certificate
  // §5.2: more than one URI SAN MUST be rejected, whatever the others are.
  if (uriSans.length !== 1) return { fault: `it has ${uriSans.length} URI names; an X509-SVID has exactly one` }
  let id: SpiffeId
  try {
    id = SpiffeId.parseBytes(uriSans[0] ?? new Uint8Array())
  } catch (error) {
    return { fault: `its URI name is no SPIFFE ID: ${error instanceof SpiffeError ? error.message : 'unreadable'}` }
  }
  if (id.path === '') return { fault: `its SPIFFE ID ${id.toString()} has no path; that of a leaf has one` }
  if (extensions.isCa) return { fault: 'it is a CA; a signing certificate authenticates nobody' }
  const { keyUsage } = extensions
  // §4.3: keyUsage MUST be set. Without it the two bits below could not be told to be off.
  if (keyUsage === undefined) return { fault: 'keyUsage is missing' }
  if ((keyUsage & keyUsageBit.digitalSignature) === 0) return { fault: 'keyUsage lacks digitalSignature' }
  if ((keyUsage & (keyUsageBit.keyCertSign | keyUsageBit.crlSign)) !== 0) {
    return { fault: 'keyUsage has keyCertSign or cRLSign, which a leaf never has' }
  }
  const keyFault = findKeyFault(certificate.publicKeyKind)
  return keyFault === undefined ? { id } : { fault: keyFault }
}
