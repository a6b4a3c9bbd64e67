import { InvalidInputError } from '../errors/index.js'

/** A timer that is asked for more than this fires at once; a month is for ever here. */
export const longestTimerMs = 0x7fff_ffff

/**
 * An option in milliseconds: a number from `least` to `most`. To a timer, everything that is no such number would mean "at
 * once".
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` that names the option.
 */
export function expectMs(name: string, ms: unknown, least = 0, most = Infinity): number {
  if (typeof ms === 'number' && ms >= least && ms <= most) return ms
  const range = most === Infinity ? `from ${least}` : `from ${least} to ${most}`
  const found = typeof ms === 'number' ? ms : typeof ms
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `expected ${name} to be a number of milliseconds ${range}, found ${found}`,
  )
}
