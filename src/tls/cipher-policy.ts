import * as tls from 'node:tls'
import { InvalidInputError } from '../errors/index.js'

/** What a client offers of TLS, in the words of Node's options of the same names. Default: what Node offers. */
export interface CipherPolicy {
  /** Cipher suites, colons between. */
  ciphers?: string | undefined
  /** Signature algorithms, colons between. */
  sigalgs?: string | undefined
  /** Groups for the key agreement, colons between. */
  ecdhCurve?: string | undefined
}

export const cipherPolicyNames = ['ciphers', 'sigalgs', 'ecdhCurve'] as const

/**
 * Picks the policy out of the options of a client, and leaves out what was not given.
 * @throws InvalidInputError with code `ERR_INVALID_ARGUMENT` when OpenSSL takes none of it.
 */
export function readCipherPolicy(options: CipherPolicy): tls.SecureContextOptions {
  const given = cipherPolicyNames.map((name) => [name, options[name]]).filter(([, value]) => value !== undefined)
  const policy = Object.fromEntries(given) as tls.SecureContextOptions
  if (given.length === 0) return policy
  try {
    tls.createSecureContext(policy)
  } catch (cause) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `${JSON.stringify(policy)} is no offer that can be made`, {
      cause,
    })
  }
  return policy
}
