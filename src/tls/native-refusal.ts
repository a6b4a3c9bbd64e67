import type { Duplex } from 'node:stream'
import { UntrustedPeerError } from '../errors/index.js'

/**
 * Node's own verification runs before ours and refuses in words of OpenSSL. This says the same in ours; every other
 * error is returned as it is.
 */
export function inOurWords(error: Error): Error {
  const code: unknown = 'code' in error ? error.code : undefined
  if (typeof code !== 'string' || !verificationFailures.has(code)) return error
  return new UntrustedPeerError(
    'ERR_X509_CHAIN_UNTRUSTED',
    `the server's certificate leads to no authority that its trust domain's bundle holds (${code}: ${error.message}); ` +
      'expected an X509-SVID of a trust domain that this client accepts',
    { cause: error },
  )
}

/**
 * Makes a connection that is refused during its handshake say so in our words. Only the error is another one: the
 * connection ends when and where Node ends it.
 */
export function refuseInOurWords<T extends Duplex>(socket: T): T {
  const destroy = socket.destroy.bind(socket)
  socket.destroy = (error?: Error) => destroy(error && inOurWords(error))
  socket.once('secureConnect', () => {
    Reflect.deleteProperty(socket, 'destroy')
  })
  return socket
}

/** What OpenSSL's verification of a chain ends with, as Node names it. */
const verificationFailures = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'CERT_SIGNATURE_FAILURE',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'CERT_CHAIN_TOO_LONG',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'UNSPECIFIED',
])
