import { InvalidInputError } from '../errors/index.js'
import { SpiffeId } from '../spiffe-id/index.js'
import type { X509Context, X509Svid } from '../svid/index.js'

/** Which SVID of several to use: by its hint, by its SPIFFE ID, or by a function of one's own. */
export type PickX509Svid =
  | { readonly hint: string }
  | { readonly spiffeId: string | SpiffeId }
  | ((svids: readonly X509Svid[]) => X509Svid | undefined)

export interface PickOptions {
  pickSvid?: PickX509Svid | undefined
  expectedSpiffeId?: string | SpiffeId | undefined
}

function parseId(id: string | SpiffeId): SpiffeId {
  return typeof id === 'string' ? SpiffeId.parse(id) : id
}

function toFunction(pick: PickX509Svid): (svids: readonly X509Svid[]) => X509Svid | undefined {
  if (typeof pick === 'function') return pick
  if ('hint' in pick) return (svids) => svids.find(({ hint }) => hint === pick.hint)
  const id = parseId(pick.spiffeId)
  return (svids) => svids.find((svid) => svid.id.equals(id))
}

function offered(svids: readonly X509Svid[]): string {
  return svids
    .map(({ id, hint }) => (hint ? `${id.toString()} (hint ${JSON.stringify(hint)})` : id.toString()))
    .join(', ')
}

/**
 * The function that takes the SVID to use out of a context. It never falls back to another than the one asked for.
 * @throws InvalidInputError from the function: `ERR_SVID_NOT_FOUND`, or `ERR_SPIFFE_ID_UNEXPECTED`.
 */
export function toPicker({ pickSvid, expectedSpiffeId }: PickOptions): (context: X509Context) => X509Svid {
  const expected = expectedSpiffeId === undefined ? undefined : parseId(expectedSpiffeId)
  const pick = pickSvid && toFunction(pickSvid)
  return ({ svids }) => {
    // With nothing else said, an expected identity is also the one to look for.
    const svid = pick ? pick(svids) : expected ? (svids.find(({ id }) => id.equals(expected)) ?? svids[0]) : svids[0]
    if (!svid || !svids.includes(svid)) {
      throw new InvalidInputError(
        'ERR_SVID_NOT_FOUND',
        `no SVID fits pickSvid; the agent issued ${offered(svids)}; check pickSvid, or the registration of this workload`,
      )
    }
    if (expected && !svid.id.equals(expected)) {
      throw new InvalidInputError(
        'ERR_SPIFFE_ID_UNEXPECTED',
        `expected the SPIFFE ID ${expected.toString()}, the agent issued ${offered(svids)}; check expectedSpiffeId, or the registration of this workload`,
      )
    }
    return svid
  }
}
