import type { PublicKeyKind } from '../encoding/index.js'

const minRsaBits = 2048
// Checking a signature of a still larger key costs a server more than a stranger should be able to ask of it.
const maxRsaBits = 8192

/** What keeps a public key from being used, or `undefined`: EC P-256, P-384 and P-521, RSA from 2048, Ed25519. */
export function findKeyFault(key: PublicKeyKind): string | undefined {
  if (key.type === 'other') return `its key is of a kind that is not used here: ${key.oid}`
  if (key.type !== 'rsa') return undefined
  if (key.bits < minRsaBits) return `its RSA key has ${key.bits} bits; ${minRsaBits} are the least`
  if (key.bits > maxRsaBits) return `its RSA key has ${key.bits} bits; ${maxRsaBits} are the most`
  return key.exponentIsSound ? undefined : 'its RSA key has an exponent that proves nothing'
}
