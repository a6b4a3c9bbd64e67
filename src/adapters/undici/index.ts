export { createDispatcher } from './create-dispatcher.js'
export type { DispatcherOptions, SpiffeDispatcher } from './create-dispatcher.js'
