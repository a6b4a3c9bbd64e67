import { oid, type Certificate } from '../encoding/index.js'

/**
 * What the issuer of a leaf did against the standard without harm to whoever verifies it: worth telling the issuer, no
 * reason to refuse. X509-SVID §3.1, §4.1, §4.3 and §4.4.
 */
export function findIssuerFaults({ extensions, subject }: Certificate): string[] {
  const { critical, extKeyUsage, hasBasicConstraints } = extensions
  const faults: string[] = []
  if (subject.length === 2 && !critical.includes(oid.subjectAltName)) {
    faults.push('the subject is empty, so subjectAltName has to be critical')
  }
  if (!hasBasicConstraints) faults.push('basicConstraints is missing')
  if (!critical.includes(oid.keyUsage)) faults.push('keyUsage is not critical')
  if (!extKeyUsage) faults.push('extKeyUsage is missing')
  else if (!extKeyUsage.includes(oid.serverAuth) || !extKeyUsage.includes(oid.clientAuth)) {
    faults.push('extKeyUsage does not name both serverAuth and clientAuth; many TLS stacks refuse the missing use')
  }
  return faults
}
