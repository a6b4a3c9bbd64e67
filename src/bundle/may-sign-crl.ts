import { keyUsageBit, type Certificate } from '../encoding/index.js'

/** RFC 5280 §6.3.3 (f): where keyUsage is present, cRLSign has to be set. */
export function maySignCrl({ extensions: { keyUsage } }: Certificate): boolean {
  return keyUsage === undefined || (keyUsage & keyUsageBit.crlSign) !== 0
}
