import type { KeyObject } from 'node:crypto'

/**
 * The same key. Never asks OpenSSL to compare keys of different kinds: on Node.js 20 that leaves an error behind in its
 * queue, and the next private key that anyone reads is refused because of it.
 */
export function sameKey(a: KeyObject, b: KeyObject): boolean {
  return a.type === b.type && a.asymmetricKeyType === b.asymmetricKeyType && a.equals(b)
}
