import type { X509Bundle } from '../../bundle/index.js'
import { noIdentity } from './call-status.js'
import type { Dialect } from './dialect.js'
import { icpSchema } from './generated/schemas.js'
import { loadWireService } from './wire-service.js'
import type { WireService } from './wire-service.js'

const service = 'spiffe.workload.SpiffeWorkloadAPI'
let loaded: WireService | undefined

/**
 * The Workload API as the ICP agent has it: PEM, trust domains by their bare name, no hints, and its own words for a
 * workload that it does not know. Where that agent answers wrongly (a token for another audience passes there, and a
 * valid one fails), this one does what the call promises.
 */
export const icpDialect: Dialect = {
  service,
  load: () => (loaded ??= loadWireService(icpSchema, service)),

  x509Svids: ({ svids, bundle, federated }) => ({
    svids: svids.map((svid) => ({
      spiffeId: svid.id.toString(),
      x509Svid: Buffer.from(svid.certificatesPem()),
      x509SvidKey: Buffer.from(svid.privateKeyPem()),
      bundle: Buffer.from(bundle.toPem()),
    })),
    federatedBundles: byName(federated),
  }),

  x509Bundles: ({ bundle, federated }) => ({ bundles: byName([bundle, ...federated]) }),

  jwtSvids: (entries) => ({
    svids: entries.map(({ svid, token }) => ({ spiffeId: svid.id.toString(), svid: token })),
  }),

  jwtBundles: ({ jwtKeys }) => ({
    bundles: Object.fromEntries(
      jwtKeys.map(({ trustDomain, keys }) => [
        trustDomain.name,
        Buffer.from(JSON.stringify({ keys: keys.map((key) => ({ ...key, use: 'sig', alg: 'ES256' })) })),
      ]),
    ),
  }),

  // Its claims are texts only; what is none is written as JSON.
  validated: ({ id, claims }) => ({
    spiffeId: id.toString(),
    claims: Object.fromEntries(
      Object.entries(claims).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    ),
  }),

  refusal(method, status) {
    if (status !== noIdentity) return status
    return {
      code: status.code,
      details: method === 'FetchX509SVID' ? 'Workload attestation failed' : 'Workload not attested',
    }
  },
}

function byName(bundles: readonly X509Bundle[]): Record<string, Uint8Array> {
  return Object.fromEntries(bundles.map((bundle) => [bundle.trustDomain.name, Buffer.from(bundle.toPem())]))
}
