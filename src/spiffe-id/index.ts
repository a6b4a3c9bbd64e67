export { SpiffeId } from './spiffe-id.js'
export { TrustDomain } from './trust-domain.js'
