import type { X509BundleSet } from '../bundle/index.js'
import { InvalidInputError } from '../errors/index.js'
import type { X509Svid } from './x509-svid.js'

/** Where the workload's own X509-SVID comes from. */
export interface X509SvidSource {
  /** The newest one, now. Throws when there is none. */
  getX509Svid(): X509Svid
}

/** One message of the Workload API as a value: SVIDs and the bundles that came with them. Immutable. */
export class X509Context {
  /** In the order of the message; the first is the default identity. */
  readonly svids: readonly X509Svid[]
  readonly bundles: X509BundleSet

  constructor({ svids, bundles }: { svids: readonly X509Svid[]; bundles: X509BundleSet }) {
    this.svids = Object.freeze([...svids])
    this.bundles = bundles
    Object.freeze(this)
  }

  /**
   * The identity to use when nothing else is said.
   * @throws InvalidInputError with code `ERR_SVID_NOT_FOUND` when the context holds none.
   */
  get defaultSvid(): X509Svid {
    const [first] = this.svids
    if (!first) throw new InvalidInputError('ERR_SVID_NOT_FOUND', 'expected an X509-SVID; the context holds none')
    return first
  }

  /**
   * The same context with the objects of an earlier one wherever they are equal, so that what was made of those (proofs of
   * peers, secure contexts) is still good.
   */
  reusing(earlier: X509Context): X509Context {
    return new X509Context({
      svids: this.svids.map((svid) => earlier.svids.find((known) => known.equals(svid)) ?? svid),
      bundles: this.bundles.reusing(earlier.bundles),
    })
  }

  /** The same SVIDs in the same order, and the same bundles. */
  equals(other: X509Context): boolean {
    return (
      this.svids.length === other.svids.length &&
      this.svids.every((mine, index) => other.svids[index]?.equals(mine) === true) &&
      this.bundles.equals(other.bundles)
    )
  }
}
