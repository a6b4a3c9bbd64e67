import { createHash } from 'node:crypto'
import { CertificateRevocationList, sameBytes, type Certificate } from '../encoding/index.js'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'
import { maySignCrl } from './may-sign-crl.js'

/** Authorities of one name that are tried for one list. Trust domains may well give their authorities the same name. */
/** How far the clock of an issuer of lists may be ahead. */
const toleratedMs = 60_000
const maxTriedSigners = 8

/**
 * Revocation lists that came together, read once for all bundles that carry them: a list may hold many thousand entries,
 * and a message many bundles. Immutable.
 */
export class RevocationLists {
  static readonly none = new RevocationLists([])

  /** As delivered, DER, readable or not. */
  readonly crls: readonly Uint8Array[]
  /** Those of them that can be read and judged. Who signed them is looked at when they name a certificate. */
  readonly judged: readonly CertificateRevocationList[]
  readonly #faults: readonly SpiffeError[]
  readonly #byIssuer = new Map<string, CertificateRevocationList[]>()
  #digest: string | undefined

  private constructor(crls: readonly Uint8Array[]) {
    const judged: CertificateRevocationList[] = []
    const faults: SpiffeError[] = []
    this.crls = Object.freeze(
      crls.map((crl) => {
        try {
          const list = CertificateRevocationList.parse(crl)
          if (list.unsupported === undefined) judged.push(list)
          else faults.push(crlFault(`a revocation list cannot be judged: ${list.unsupported}`))
          return list.der
        } catch (error) {
          if (!(error instanceof SpiffeError)) throw error
          faults.push(error)
          return new Uint8Array(crl)
        }
      }),
    )
    this.judged = Object.freeze(judged)
    this.#faults = faults
    for (const list of judged) {
      const same = this.#byIssuer.get(nameKey(list.issuer))
      if (same) same.push(list)
      else this.#byIssuer.set(nameKey(list.issuer), [list])
    }
    Object.freeze(this)
  }

  /** Throws nothing: what cannot be read is told by {@link RevocationLists.findFaults}. */
  static read(crls: readonly Uint8Array[]): RevocationLists {
    return crls.length === 0 ? RevocationLists.none : new RevocationLists(crls)
  }

  /**
   * What cannot be read or judged, is past its time or before it, or names authorities as its issuer of which none signed it. The last
   * of these may be of an intermediate with the same name, which shows only when a peer presents it: so such a list is
   * used where that holds, and told all the same.
   */
  findFaults(authorities: Iterable<Certificate>, now: Date): SpiffeError[] {
    const early = this.judged.filter(({ thisUpdateMs }) => thisUpdateMs > now.getTime() + toleratedMs)
    const stale = this.judged.filter(({ nextUpdateMs = Infinity }) => nextUpdateMs < now.getTime())
    const named = new Map<CertificateRevocationList, Certificate[]>()
    if (this.judged.length > 0) {
      for (const authority of authorities) {
        for (const list of this.#byIssuer.get(nameKey(authority.subject)) ?? []) {
          const namesakes = named.get(list)
          if (namesakes) namesakes.push(authority)
          else named.set(list, [authority])
        }
      }
    }
    const unsigned = [...named].filter(([list, namesakes]) => !isSignedByOneOf(list, namesakes))
    return [
      ...this.#faults,
      ...early.map(() => crlFault('a revocation list is of the future by its thisUpdate; check the clocks')),
      ...stale.map(() => crlFault('a revocation list is past its nextUpdate')),
      ...unsigned.map(() => crlFault('a revocation list is not signed by the authority that it names')),
    ]
  }

  /** The same lists, in whatever order. */
  equals(other: RevocationLists): boolean {
    return this === other || (this.crls.length === other.crls.length && this.#fingerprint() === other.#fingerprint())
  }

  /** Made once, because each bundle of two messages compares the same lists. */
  #fingerprint(): string {
    this.#digest ??= this.crls
      .map((crl) => createHash('sha256').update(crl).digest('base64'))
      .sort()
      .join()
    return this.#digest
  }
}

function isSignedByOneOf(list: CertificateRevocationList, namesakes: readonly Certificate[]): boolean {
  const isLikely = ({ extensions: { subjectKeyId } }: Certificate) =>
    subjectKeyId !== undefined && list.authorityKeyId !== undefined && sameBytes(subjectKeyId, list.authorityKeyId)
  const likeliestFirst = [...namesakes.filter(isLikely), ...namesakes.filter((one) => !isLikely(one))]
  return likeliestFirst.slice(0, maxTriedSigners).some((signer) => maySignCrl(signer) && list.isSignedBy(signer))
}

/** One character for each octet, so different names never share a key. */
function nameKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1')
}

function crlFault(message: string): InvalidMaterialError {
  return new InvalidMaterialError('ERR_CRL_MALFORMED', message)
}
