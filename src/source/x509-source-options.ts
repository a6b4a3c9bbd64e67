import { toPicker } from './pick-svid.js'
import type { PickOptions } from './pick-svid.js'
import { readSourceOptions } from './source-options.js'
import type { SourceOptions } from './source-options.js'

export interface X509SourceOptions extends SourceOptions {
  /** The only SPIFFE ID to accept; an agent that issues others is not believed. Default any. */
  expectedSpiffeId?: PickOptions['expectedSpiffeId']
  /** Which SVID to use when the agent issues several. Default the first, which the standard makes the default one. */
  pickSvid?: PickOptions['pickSvid']
}

export type X509SourceSettings = ReturnType<typeof readX509SourceOptions>

/** Reads the options once and checks them. Throws `InvalidInputError`. */
export function readX509SourceOptions(options: X509SourceOptions) {
  return { pick: toPicker(options), ...readSourceOptions(options) }
}
