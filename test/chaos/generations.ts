import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { messageOf } from '../workload-api/scripted-agent.js'

/** An SVID, the only root that proves it, and the message that brings both. */
export type Generation = ReturnType<typeof makeGenerations>[number]

/** Generations of one identity, each of an authority of its own. Ed25519, which is quickest to read ten thousand times. */
export function makeGenerations(count: number) {
  const keyType = 'ed25519'
  return Array.from({ length: count }, () => {
    const domain = new TestTrustDomain('example.org', { root: { keyType } })
    const svid = domain.svid({ keyType })
    const entry = {
      spiffe_id: svid.id.toString(),
      x509_svid: svid.certificatesDer(),
      x509_svid_key: svid.privateKeyDer(),
      bundle: domain.bundle().toDer(),
    }
    return { svid, root: domain.root.certificate.serialNumber, message: messageOf([entry]) }
  })
}
