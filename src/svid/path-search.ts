import type { X509Bundle } from '../bundle/index.js'
import type { Certificate } from '../encoding/index.js'
import { findRevocation } from './find-revocation.js'
import { pathFault, type PathFault } from './path-fault.js'
import { findCertificateFault, findPathRuleFault, type TlsPurpose } from './path-rules.js'

/** Certificates on a path, leaf and authority included. */
const maxPathLength = 10

export interface PathQuestion {
  readonly leaf: Certificate
  /** What the peer sent beside the leaf, in any order, useful or not. */
  readonly presented: readonly Certificate[]
  /** Its authorities end a path, its revocation lists forbid one. */
  readonly bundle: X509Bundle
  readonly nowMs: number
  readonly purpose: TlsPurpose | undefined
}

/**
 * Looks for a path from the leaf to an authority on which every link holds by name and signature and every rule is met.
 * The work is counted, in proportion to the number of certificates: a stranger who sends a maze is refused, not solved.
 */
export class PathSearch {
  readonly #question: PathQuestion
  readonly #authorities: ReadonlyMap<string, readonly Certificate[]>
  readonly #presented: ReadonlyMap<string, readonly Certificate[]>
  readonly #links = new Map<Certificate, Map<Certificate, boolean>>()
  #candidatesLeft: number
  #signaturesLeft: number
  #fault: PathFault | undefined

  constructor(question: PathQuestion) {
    this.#question = question
    this.#authorities = authoritiesByName(question.bundle)
    this.#presented = byName(unique(question.presented))
    const size = question.presented.length + question.bundle.authorities.length
    this.#candidatesLeft = 32 + 8 * size
    this.#signaturesLeft = 8 + 2 * size
  }

  /** The path, leaf first, or the fault that tells most. */
  run(): readonly Certificate[] | PathFault {
    const { leaf, nowMs } = this.#question
    const fault = findCertificateFault(leaf, 'leaf', nowMs)
    if (fault) return fault
    return (
      this.#extend([leaf]) ??
      this.#fault ??
      pathFault('ERR_X509_CHAIN_UNTRUSTED', 'no path of valid signatures leads from the leaf to an authority')
    )
  }

  /** Recursion ends at {@link maxPathLength}. */
  #extend(path: readonly Certificate[]): readonly Certificate[] | undefined {
    const last = path.at(-1) as Certificate
    const name = nameKey(last.issuer)
    const { bundle, nowMs, purpose } = this.#question
    for (const authority of this.#authorities.get(name) ?? []) {
      if (!this.#isLinked(last, authority)) continue
      const whole = [...path, authority]
      const fault =
        findRevocation(last, authority, bundle) ??
        findCertificateFault(authority, 'authority', nowMs) ??
        findPathRuleFault(whole, purpose)
      if (!fault) return whole
      this.#note(fault)
    }
    if (path.length + 1 >= maxPathLength) return undefined
    for (const signer of this.#presented.get(name) ?? []) {
      if (path.includes(signer) || !this.#isLinked(last, signer)) continue
      const fault = findRevocation(last, signer, bundle) ?? findCertificateFault(signer, 'intermediate', nowMs)
      if (fault) this.#note(fault)
      else {
        const found = this.#extend([...path, signer])
        if (found) return found
      }
    }
    return undefined
  }

  #isLinked(child: Certificate, issuer: Certificate): boolean {
    if (this.#candidatesLeft-- <= 0) return this.#exhausted()
    if (!child.namesAsIssuer(issuer)) return false
    let known = this.#links.get(child)
    if (!known) {
      known = new Map<Certificate, boolean>()
      this.#links.set(child, known)
    }
    let holds = known.get(issuer)
    if (holds === undefined) {
      if (this.#signaturesLeft-- <= 0) return this.#exhausted()
      holds = child.isSignedBy(issuer)
      known.set(issuer, holds)
    }
    return holds
  }

  #exhausted(): false {
    this.#note(pathFault('ERR_X509_CHAIN_UNTRUSTED', 'the chain is a maze: too many candidates for one path'))
    return false
  }

  /** Keeps the first fault, unless a later one says more than that there is no trust. */
  #note(fault: PathFault): void {
    if (this.#fault === undefined || this.#fault.code === 'ERR_X509_CHAIN_UNTRUSTED') this.#fault = fault
  }
}

const indexes = new WeakMap<X509Bundle, ReadonlyMap<string, readonly Certificate[]>>()

function authoritiesByName(bundle: X509Bundle): ReadonlyMap<string, readonly Certificate[]> {
  let index = indexes.get(bundle)
  if (!index) {
    index = byName(bundle.authorities)
    indexes.set(bundle, index)
  }
  return index
}

/** Each certificate once. There are few, so comparing each with each is the quickest. */
function unique(certificates: readonly Certificate[]): readonly Certificate[] {
  return certificates.filter((one, at) => certificates.findIndex((other) => other.equals(one)) === at)
}

function byName(certificates: readonly Certificate[]): Map<string, Certificate[]> {
  const index = new Map<string, Certificate[]>()
  for (const certificate of certificates) {
    const key = nameKey(certificate.subject)
    const same = index.get(key)
    if (same) same.push(certificate)
    else index.set(key, [certificate])
  }
  return index
}

/** One character for each octet, so different names never share a key. */
function nameKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1')
}
