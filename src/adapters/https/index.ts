export { attachSpiffe, callerOfRequest, createHttpsServer } from '../http/index.js'
export type { AttachOptions, HttpsServerOptions } from '../http/index.js'
export { SpiffeHttpsAgent } from './spiffe-https-agent.js'
export type { SpiffeHttpsAgentOptions } from './spiffe-https-agent.js'
