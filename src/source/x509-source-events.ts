import type { X509Context } from '../svid/index.js'
import { openChannels } from './source-events.js'
import type { SourceEvents, SourceState } from './source-events.js'

/** How an `X509Source` is doing; what it has to use is an SVID. */
export type X509SourceState = SourceState

/** What an `X509Source` emits. */
export type X509SourceEvents = SourceEvents<X509Context>

export const publish = openChannels<X509Context>('source')
