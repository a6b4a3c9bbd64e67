import { UntrustedPeerError } from '../errors/index.js'

/**
 * The token of an `authorization` header or metadata entry, to be given to {@link verifyJwtSvid}.
 * @param authorization - `request.headers.authorization`, or what `metadata.get('authorization')` of grpc-js gives.
 * @throws UntrustedPeerError with code `ERR_JWT_SVID_MALFORMED` when there is none, several, or one of another scheme.
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md#5-token-transmission
 */
export function readBearerToken(authorization: string | readonly unknown[] | undefined): string {
  const values: readonly unknown[] = Array.isArray(authorization) ? authorization : [authorization]
  const [value] = values
  // RFC 9110 §11.1: the case of the scheme does not matter.
  const token = typeof value === 'string' ? /^bearer +(\S+)$/i.exec(value)?.[1] : undefined
  if (token !== undefined && values.length === 1) return token
  throw new UntrustedPeerError('ERR_JWT_SVID_MALFORMED', 'expected one authorization of the form: Bearer <JWT-SVID>')
}
