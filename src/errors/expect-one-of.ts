import { InvalidInputError } from './spiffe-error.js'

/**
 * Refuses a value that is none of an option's; `undefined` stands for its default. A misspelt one would be taken for the
 * default otherwise, and not always for the safer one.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT`.
 */
export function expectOneOf(name: string, value: unknown, allowed: readonly unknown[]): void {
  if (value === undefined || allowed.includes(value)) return
  const list = allowed.map(shown).join(', ')
  throw new InvalidInputError('ERR_INVALID_ARGUMENT', `${name} is ${shown(value)}; expected one of ${list}`)
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value
}
