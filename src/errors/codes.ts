/** One line per code; `docs/errors.md` is generated from this table. Codes are stable; wording of messages is not. */
export const errorCodes = {
  ERR_INVALID_ARGUMENT: 'An argument or option has a value that the function does not take.',
  ERR_CLOSED: 'The object was used after it was closed.',
  ERR_TIMEOUT: 'The operation did not finish before its deadline.',

  ERR_DER_MALFORMED: 'The bytes are not strict DER.',
  ERR_PEM_MALFORMED: 'The text is not PEM, or lacks the block that is needed.',
  ERR_BASE64_MALFORMED: 'The text is not canonical base64 or base64url.',
  ERR_CERTIFICATE_MALFORMED: 'The bytes are not a well-formed X.509 certificate.',
  ERR_CRL_MALFORMED: 'The bytes are not a well-formed X.509 certificate revocation list.',

  ERR_SPIFFE_ID_INVALID: 'The text is not a SPIFFE ID.',
  ERR_TRUST_DOMAIN_INVALID: 'The text is not a trust domain name.',

  ERR_BUNDLE_MALFORMED: 'The bytes are not a trust bundle.',
  ERR_BUNDLE_NOT_FOUND: 'There is no trust bundle for the trust domain.',
  ERR_AUTHORITY_NOT_FOUND: 'The bundle holds no key that fits the JWT-SVID.',

  ERR_X509_SVID_MALFORMED: 'The certificate, chain or key is not an X509-SVID.',
  ERR_X509_SVID_KEY_MISMATCH: 'The private key does not belong to the leaf certificate.',
  ERR_X509_SVID_EXPIRED: 'A certificate of the X509-SVID is past its validity period.',
  ERR_X509_SVID_NOT_YET_VALID: 'A certificate of the X509-SVID is not valid yet.',
  ERR_X509_SVID_REVOKED: 'A certificate of the X509-SVID is revoked.',
  ERR_X509_CHAIN_UNTRUSTED: 'No path of valid signatures leads from the leaf to an authority of its own trust domain.',
  ERR_X509_CHAIN_UNSUPPORTED:
    'The chain carries a constraint or critical extension that cannot be judged, so it is refused.',

  ERR_JWT_SVID_MALFORMED: 'The text is not a JWT-SVID.',
  ERR_JWT_SVID_EXPIRED: 'The JWT-SVID is past its expiry.',
  ERR_JWT_SVID_NOT_YET_VALID: 'The JWT-SVID is not valid yet.',
  ERR_JWT_SVID_AUDIENCE: 'The JWT-SVID is not meant for this audience.',
  ERR_JWT_SVID_SIGNATURE: 'The signature of the JWT-SVID does not verify.',

  ERR_ENDPOINT_INVALID: 'The Workload API endpoint address has a form that is not allowed.',
  ERR_ENDPOINT_NOT_CONFIGURED: 'No Workload API endpoint address was given.',
  ERR_WORKLOAD_API_UNAVAILABLE: 'The agent cannot be reached, or answers that it cannot serve now.',
  ERR_WORKLOAD_API_DENIED: 'The agent has no identity for this workload.',
  ERR_WORKLOAD_API_REFUSED: 'The agent refuses the request for good; asking again will not help.',
  ERR_WORKLOAD_API_UNIMPLEMENTED: 'The endpoint does not implement the Workload API.',
  ERR_WORKLOAD_API_RESPONSE_INVALID: 'The agent sent a message that cannot be used.',
  ERR_WORKLOAD_API_STREAM_ENDED: 'The agent ended the stream.',

  ERR_SVID_NOT_FOUND: 'No SVID of the source fits what was asked for.',
  ERR_SVID_WITHDRAWN: 'The agent withdrew the identity of this workload.',
  ERR_SPIFFE_ID_UNEXPECTED: 'The agent issued another SPIFFE ID than the one that was expected.',

  ERR_AUTHORIZER_REQUIRED: 'No authorizer was given; a peer must be named, or authorizeAny() written out.',
  ERR_AUTHORIZER_INVALID: 'The authorizer is not usable: it is asynchronous or not a function.',
  ERR_PEER_NO_CERTIFICATE: 'The peer presented no certificate.',
  ERR_PEER_NOT_AUTHORIZED: 'The peer proved its SPIFFE ID, and that ID is not authorized here.',
  ERR_PEER_NOT_PROVED: 'The socket holds no proof of who its peer is.',
  ERR_SESSION_RESUMED: 'The TLS session was resumed, so nothing was proved on this connection.',
  ERR_SERVER_NOT_ATTACHED: 'The server has SPIFFE options and was never attached; it refuses everyone.',
  ERR_SERVER_ALREADY_ATTACHED: 'The server is attached already.',
  ERR_PLAINTEXT_REFUSED: 'A plaintext http: request was refused; this client speaks only mutually proved TLS.',

  ERR_DIRECTORY_UNSAFE: 'The directory for key files is one that others could tamper with.',
  ERR_FILE_WRITE_FAILED: 'The identity could not be written to disk.',
  ERR_FILE_HOOK_FAILED: 'The files were written, and what should follow a write did not happen.',
  ERR_FILE_READ_FAILED: 'The identity could not be read from disk.',

  ERR_DEV_AGENT: 'The dev agent cannot do what was asked.',
} as const

/** A stable identifier of what went wrong: a key of {@link errorCodes}. */
export type SpiffeErrorCode = keyof typeof errorCodes
