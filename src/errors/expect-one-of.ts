import { InvalidInputError } from './spiffe-error.js'

/**
 * An option that is one of a few words, for callers whom no compiler checks.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` that names the option and the words.
 */
export function expectOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  const found = typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : typeof value
  throw new InvalidInputError(
    'ERR_INVALID_ARGUMENT',
    `expected ${name} to be one of ${allowed.join(', ')}; found ${found}`,
  )
}
