import { InvalidMaterialError, SpiffeError } from '../../errors/index.js'

/** A fault of a message: the whole of it is discarded. The client adds where it came from. */
export function unusable(what: string, cause?: unknown): InvalidMaterialError {
  return new InvalidMaterialError('ERR_WORKLOAD_API_RESPONSE_INVALID', what, cause === undefined ? {} : { cause })
}

/** Runs a parser and says which part of the message it refused. */
export function within<T>(part: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof SpiffeError) throw unusable(`${part}: ${error.message}`, error)
    throw error
  }
}
