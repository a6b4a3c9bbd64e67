import type { X509Bundle } from '../../bundle/index.js'
import type { Dialect } from './dialect.js'
import { standardSchema } from './generated/schemas.js'
import { toStruct } from './struct.js'
import { loadWireService } from './wire-service.js'
import type { WireService } from './wire-service.js'

const service = 'SpiffeWorkloadAPI'
let loaded: WireService | undefined

/** The Workload API as the standard has it: DER, and trust domains by their SPIFFE ID. */
export const standardDialect: Dialect = {
  service,
  load: () => (loaded ??= loadWireService(standardSchema, service)),

  x509Svids: ({ svids, bundle, federated }) => ({
    svids: svids.map((svid) => ({
      spiffeId: svid.id.toString(),
      x509Svid: svid.certificatesDer(),
      x509SvidKey: svid.privateKeyDer(),
      bundle: bundle.toDer(),
      hint: svid.hint,
    })),
    crl: crlsOf([bundle, ...federated]),
    federatedBundles: byIdString(federated),
  }),

  x509Bundles: ({ bundle, federated }) => ({
    crl: crlsOf([bundle, ...federated]),
    bundles: byIdString([bundle, ...federated]),
  }),

  jwtSvids: (entries) => ({
    svids: entries.map(({ svid, token }) => ({ spiffeId: svid.id.toString(), svid: token, hint: svid.hint })),
  }),

  // A JWK Set of RFC 7517: `use` is not said, for the sets hold nothing but keys of JWT-SVIDs.
  jwtBundles: ({ jwtKeys }) => ({
    bundles: Object.fromEntries(
      jwtKeys.map(({ trustDomain, keys }) => [trustDomain.idString, Buffer.from(JSON.stringify({ keys }))]),
    ),
  }),

  validated: ({ id, claims }) => ({ spiffeId: id.toString(), claims: toStruct(claims) }),

  refusal: (_method, status) => status,
}

function byIdString(bundles: readonly X509Bundle[]): Record<string, Uint8Array> {
  return Object.fromEntries(bundles.map((bundle) => [bundle.trustDomain.idString, bundle.toDer()]))
}

function crlsOf(bundles: readonly X509Bundle[]): Uint8Array[] {
  return bundles.flatMap(({ crls }) => [...crls])
}
