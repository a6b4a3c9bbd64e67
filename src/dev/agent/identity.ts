import { InvalidInputError } from '../../errors/index.js'
import type { TrustDomain } from '../../spiffe-id/index.js'
import { SpiffeId } from '../../spiffe-id/index.js'

/** One identity that a socket gives to whoever connects. */
export interface DevIdentity {
  /** The SPIFFE ID, in the agent's own trust domain. */
  id: string | SpiffeId
  /** What tells this identity from others on the same socket; at most 1024 bytes. Default none. */
  hint?: string | undefined
  /** DNS names for peers that check host names. Default none. */
  dnsNames?: readonly string[] | undefined
}

/** The same, read and checked. */
export interface Identity {
  readonly id: SpiffeId
  readonly hint: string
  readonly dnsNames: readonly string[]
}

const maxHintBytes = 1024

/** Checks a new identity against the trust domain and against those that share its socket. */
export function readIdentity(
  { id: given, hint = '', dnsNames = [] }: DevIdentity,
  trustDomain: TrustDomain,
  others: readonly Identity[],
): Identity {
  const id = typeof given === 'string' ? SpiffeId.parse(given) : given
  if (!id.isMemberOf(trustDomain)) {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      `${id.toString()} is not in ${trustDomain.idString}; a dev agent issues for its own trust domain only`,
    )
  }
  if (id.path === '') {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `a workload's SPIFFE ID has a path; found ${id.toString()}`)
  }
  // Workload API, 8: longer hints are not supported; 5.2.1: hints of one response are unique.
  if (Buffer.byteLength(hint) > maxHintBytes) {
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      `hint: at most ${maxHintBytes} bytes, found ${Buffer.byteLength(hint)}`,
    )
  }
  if (hint !== '' && others.some((other) => other.hint === hint)) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `hint: ${JSON.stringify(hint)} is taken on this socket`)
  }
  if (others.some((other) => other.id.equals(id))) {
    throw new InvalidInputError('ERR_INVALID_ARGUMENT', `${id.toString()} is on this socket already`)
  }
  return { id, hint, dnsNames: [...dnsNames] }
}
