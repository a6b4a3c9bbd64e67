import { createHash } from 'node:crypto'
import { CertificateRevocationList } from '../encoding/index.js'
import { InvalidMaterialError, SpiffeError } from '../errors/index.js'

/**
 * Revocation lists that came together, read once for all bundles that carry them: a list may hold many thousand entries,
 * and a message many bundles. Immutable.
 */
export class RevocationLists {
  static readonly none = new RevocationLists([])

  /** As delivered, DER, readable or not. */
  readonly crls: readonly Uint8Array[]
  /** Those of them that can be read and judged. */
  readonly judged: readonly CertificateRevocationList[]
  /** What is wrong with the others. */
  readonly faults: readonly SpiffeError[]
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
    this.faults = Object.freeze(faults)
    for (const list of judged) {
      const same = this.#byIssuer.get(nameKey(list.issuer))
      if (same) same.push(list)
      else this.#byIssuer.set(nameKey(list.issuer), [list])
    }
    Object.freeze(this)
  }

  /** Throws nothing: what cannot be read is told by {@link RevocationLists.faults}. */
  static read(crls: readonly Uint8Array[]): RevocationLists {
    return crls.length === 0 ? RevocationLists.none : new RevocationLists(crls)
  }

  /** Those that name this issuer, a name as DER. */
  ofIssuer(name: Uint8Array): readonly CertificateRevocationList[] {
    return this.#byIssuer.size === 0 ? [] : (this.#byIssuer.get(nameKey(name)) ?? [])
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

/** One character for each octet, so different names never share a key. */
function nameKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1')
}

export function crlFault(message: string): InvalidMaterialError {
  return new InvalidMaterialError('ERR_CRL_MALFORMED', message)
}
