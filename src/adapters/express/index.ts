export { requireSpiffeId, spiffeCaller } from './middleware.js'
export type { Middleware, RequestWithCaller } from './middleware.js'
