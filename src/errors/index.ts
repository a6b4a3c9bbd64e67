export { errorCodes } from './codes.js'
export type { SpiffeErrorCode } from './codes.js'
export { expectOneOf } from './expect-one-of.js'
export {
  ClosedError,
  InvalidInputError,
  InvalidMaterialError,
  SpiffeError,
  UntrustedPeerError,
  WorkloadApiError,
} from './spiffe-error.js'
export type { SpiffeErrorOptions, WorkloadApiErrorOptions } from './spiffe-error.js'
