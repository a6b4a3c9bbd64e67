import { findSigningFault } from '../bundle/index.js'
import { oid, type Certificate } from '../encoding/index.js'
import { findNameConstraintFault } from './name-rules.js'
import { pathFault, type PathFault } from './path-fault.js'

/** What a certificate may be used for in TLS. The X509-SVID standard wants both on a leaf. */
export type TlsPurpose = 'serverAuth' | 'clientAuth'

/** What can be said of one certificate on a path without looking at the others. */
export function findCertificateFault(
  certificate: Certificate,
  role: 'leaf' | 'intermediate' | 'authority',
  nowMs: number,
): PathFault | undefined {
  const which = `the ${role} ${certificate.serialNumber}`
  // RFC 5280 §6.1.3 (a)(2): both ends included. No leeway.
  if (!(nowMs <= certificate.notAfterMs)) {
    return pathFault('ERR_X509_SVID_EXPIRED', `${which} expired at ${certificate.notAfter.toISOString()}`)
  }
  if (!(nowMs >= certificate.notBeforeMs)) {
    return pathFault('ERR_X509_SVID_NOT_YET_VALID', `${which} is valid from ${certificate.notBefore.toISOString()} on`)
  }
  const [unknown] = certificate.extensions.criticalUnknown
  // RFC 5280 §4.2: what is critical and not understood is refused.
  if (unknown !== undefined) {
    return pathFault('ERR_X509_CHAIN_UNSUPPORTED', `${which} has the critical extension ${unknown}, which is unknown`)
  }
  // Self-signed as far as names and key identifiers tell: such a certificate ends a path, and only an authority may.
  // A self-issued certificate of a key rollover has identifiers that tell the two keys apart. OpenSSL does the same.
  if (role !== 'authority' && certificate.namesAsIssuer(certificate)) {
    return pathFault('ERR_X509_CHAIN_UNTRUSTED', `${which} names itself as its issuer`)
  }
  if (role === 'leaf') return undefined
  const reason = findSigningFault(certificate, role)
  return reason === undefined ? undefined : pathFault('ERR_X509_CHAIN_UNTRUSTED', `${which}: ${reason}`)
}

/** What can only be said of a whole path, leaf first, authority last: path lengths, purposes and names. */
export function findPathRuleFault(
  path: readonly Certificate[],
  purpose: TlsPurpose | undefined,
): PathFault | undefined {
  return findPathLenFault(path) ?? findPurposeFault(path, purpose) ?? findNameConstraintFault(path)
}

/** RFC 5280 §6.1.4 (l)–(m): pathLen counts the intermediates below that are not self-issued. */
function findPathLenFault(path: readonly Certificate[]): PathFault | undefined {
  let below = 0
  for (const certificate of path.slice(1)) {
    const { pathLen } = certificate.extensions
    if (pathLen !== undefined && below > pathLen) {
      const message = `the CA ${certificate.serialNumber} allows ${pathLen} intermediates below it, found ${below}`
      return pathFault('ERR_X509_CHAIN_UNTRUSTED', message)
    }
    if (!certificate.isSelfIssued) below++
  }
  return undefined
}

/**
 * A purpose holds for a path when every certificate on it that has extKeyUsage names it. anyExtendedKeyUsage is no TLS
 * purpose: OpenSSL does not take it for one either.
 */
function findPurposeFault(path: readonly Certificate[], purpose: TlsPurpose | undefined): PathFault | undefined {
  const holds = (wanted: TlsPurpose) =>
    path.every(({ extensions }) => extensions.extKeyUsage?.includes(oid[wanted]) ?? true)
  if (purpose === undefined ? holds('serverAuth') || holds('clientAuth') : holds(purpose)) return undefined
  const message = `extKeyUsage along the path leaves no room for ${purpose ?? 'TLS'}`
  return pathFault('ERR_X509_CHAIN_UNTRUSTED', message)
}
