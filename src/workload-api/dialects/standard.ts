import {
  paths,
  readJWTBundlesResponse,
  readJWTSVIDResponse,
  readValidateJWTSVIDResponse,
  readX509BundlesResponse,
  readX509SVIDResponse,
  writeJWTSVIDRequest,
  writeValidateJWTSVIDRequest,
} from '../wire/generated/workload.js'
import { Reader } from '../wire/reader.js'
import { Writer } from '../wire/writer.js'
import type { Dialect } from './dialect.js'
import { plainObject } from './struct.js'

/** The Workload API as the standard has it: no proto package, DER, keys of bundles are SPIFFE IDs. */
export const standardDialect: Dialect = {
  name: 'spiffe',
  paths: {
    x509Svids: paths.fetchX509SVID,
    x509Bundles: paths.fetchX509Bundles,
    jwtSvids: paths.fetchJWTSVID,
    jwtBundles: paths.fetchJWTBundles,
    validateJwt: paths.validateJWTSVID,
  },

  readX509Svids(bytes) {
    const { svids, crl, federatedBundles } = readX509SVIDResponse(new Reader(bytes))
    return {
      svids: svids.map(({ spiffeId, x509Svid, x509SvidKey, bundle, hint }) => ({
        spiffeId,
        chain: x509Svid,
        key: x509SvidKey,
        keyFormat: 'pkcs8',
        bundle,
        hint,
      })),
      crls: crl,
      federated: federatedBundles,
    }
  },

  readX509Bundles(bytes) {
    const { bundles, crl } = readX509BundlesResponse(new Reader(bytes))
    return { bundles, crls: crl }
  },

  writeJwtRequest(audience, spiffeId) {
    const writer = new Writer()
    writeJWTSVIDRequest(writer, { audience: [...audience], spiffeId })
    return writer.finish()
  },

  readJwtSvids: (bytes) => readJWTSVIDResponse(new Reader(bytes)).svids,

  readJwtBundles: (bytes) => readJWTBundlesResponse(new Reader(bytes)).bundles,

  writeValidateRequest(audience, token) {
    const writer = new Writer()
    writeValidateJWTSVIDRequest(writer, { audience, svid: token })
    return writer.finish()
  },

  readValidated(bytes) {
    const { spiffeId, claims } = readValidateJWTSVIDResponse(new Reader(bytes))
    return { spiffeId, claims: claims && plainObject(claims) }
  },
}
