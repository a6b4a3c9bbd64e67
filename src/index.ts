// Identity: values and proofs.
export { SpiffeId, TrustDomain } from './spiffe-id/index.js'
export { JwtBundle, JwtBundleSet, SpiffeBundle, SpiffeBundleMap, X509Bundle, X509BundleSet } from './bundle/index.js'
export type { JwtAuthority, JwtBundleSource, SpiffeBundleParts, X509BundleSource } from './bundle/index.js'
export { JwtSvid, readBearerToken, verifyJwtSvid, verifyX509Svid, X509Context, X509Svid } from './svid/index.js'
export type {
  GetJwtSvidOptions,
  JwtClaims,
  JwtSvidOptions,
  JwtSvidSource,
  ParseX509SvidOptions,
  PrivateKeyFormat,
  TlsPurpose,
  VerifiedJwtSvid,
  VerifiedX509Svid,
  VerifyJwtSvidOptions,
  VerifyX509SvidOptions,
  X509SvidOptions,
  X509SvidSource,
} from './svid/index.js'
export { Certificate } from './encoding/index.js'

// Supply: where identity comes from.
export { defaultBackoff, parseEndpoint, WorkloadApiClient } from './workload-api/index.js'
export type {
  BackoffStrategy,
  CallOptions,
  DialectName,
  Endpoint,
  Failure,
  FailureKind,
  TcpEndpoint,
  UnixEndpoint,
  ValidatedJwtSvid,
  Watch,
  WatchEvent,
  WatchHandlers,
  WatchOptions,
  WorkloadApiClientOptions,
  WorkloadApiLimits,
  WorkloadLabels,
} from './workload-api/index.js'
export { BundleSource, JwtSource, X509Source } from './source/index.js'
export type {
  BundleSnapshot,
  BundleSourceEvents,
  BundleSourceOptions,
  BundleSourceStatus,
  JwtSourceEvents,
  JwtSourceOptions,
  JwtSourceStatus,
  MessageCounts,
  PickX509Svid,
  RetryNotice,
  SourceEvents,
  SourceOptions,
  SourceState,
  SourceStatus,
  SvidStatus,
  X509SourceEvents,
  X509SourceOptions,
  X509SourceState,
  X509SourceStatus,
} from './source/index.js'

// Use: who may be at the other end.
export { authorizeAny, authorizeId, authorizeMemberOf, authorizeOneOf, callerOf, peerId } from './tls/index.js'
export type { Authorize, Authorizer, Caller, IdentitySource } from './tls/index.js'

// All of it in one object.
export { QuickStartSVID, shutdownOnSignals } from './quickstart/index.js'
export type {
  ClosableServer,
  Expiry,
  Health,
  ProbeHandler,
  QuickStartEvents,
  QuickStartOptions,
  QuickStartStatus,
  QuickStartWarning,
  ReplyLike,
  Rotation,
  ShutdownOnSignalsOptions,
} from './quickstart/index.js'

export {
  ClosedError,
  errorCodes,
  InvalidInputError,
  InvalidMaterialError,
  SpiffeError,
  UntrustedPeerError,
  WorkloadApiError,
} from './errors/index.js'
export type { SpiffeErrorCode, SpiffeErrorOptions, WorkloadApiErrorOptions } from './errors/index.js'
