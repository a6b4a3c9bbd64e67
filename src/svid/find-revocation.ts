import { maySignCrl, type X509Bundle } from '../bundle/index.js'
import { sameBytes, type Certificate } from '../encoding/index.js'
import { pathFault, type PathFault } from './path-fault.js'

/**
 * Whether a revocation list of the bundle names the certificate, and its issuer (or an authority of the same name, whose
 * key may be a newer one) signed that list. The time of the list does not matter: what is revoked stays revoked.
 */
export function findRevocation(child: Certificate, issuer: Certificate, bundle: X509Bundle): PathFault | undefined {
  for (const list of bundle.revocationLists) {
    // The cheap questions first: signatures are only checked for a certificate that a list names.
    if (!list.names(child.serialNumber) || !sameBytes(list.issuer, child.issuer)) continue
    const signers = [issuer, ...bundle.authorities.filter(({ subject }) => sameBytes(subject, list.issuer))]
    if (signers.some((signer) => maySignCrl(signer) && list.isSignedBy(signer))) {
      return pathFault('ERR_X509_SVID_REVOKED', `the certificate ${child.serialNumber} is revoked`)
    }
  }
  return undefined
}
