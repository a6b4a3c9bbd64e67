import { nameAttributes, oid } from '../encoding/index.js'
import type { Certificate, GeneralName, GeneralNameType, NameConstraints } from '../encoding/index.js'
import { pathFault, type PathFault } from './path-fault.js'

// Names times constraints, over a whole path. A chain that asks for more is refused, not worked through.
const maxComparisons = 65_536

/**
 * Name constraints of a path, leaf first, as RFC 5280 §4.2.1.10 and §6.1.3 (b)–(c) have them: URIs and DNS names are
 * compared; a certificate with a name of another form that is constrained above it is refused.
 */
export function findNameConstraintFault(path: readonly Certificate[]): PathFault | undefined {
  const budget = { left: maxComparisons }
  for (let above = path.length - 1; above > 0; above--) {
    const constraints = path[above]?.extensions.nameConstraints
    if (!constraints) continue
    for (let below = above - 1; below >= 0; below--) {
      const certificate = path[below] as Certificate
      // §6.1.3: self-issued certificates are exempt, unless it is the last one of the path.
      if (below > 0 && certificate.isSelfIssued) continue
      const fault = judge(certificate, below === 0, constraints, budget)
      if (fault) return fault
    }
  }
  return undefined
}

function judge(
  certificate: Certificate,
  isLeaf: boolean,
  { permitted, excluded }: NameConstraints,
  budget: { left: number },
): PathFault | undefined {
  const forms = new Set([...permitted, ...excluded].map(({ base }) => base.type))
  for (const form of forms) {
    if (form !== 'uri' && form !== 'dns') {
      if (carries(certificate, form)) return unsupported(`${form} names are constrained, which is not judged`)
      continue
    }
    const allowed = permitted.filter(({ base }) => base.type === form)
    const banned = excluded.filter(({ base }) => base.type === form)
    const names = form === 'uri' ? certificate.uriSans : dnsNames(certificate, isLeaf)
    if (names.length === 0) continue
    if ([...allowed, ...banned].some(({ hasBounds }) => hasBounds)) {
      return unsupported('a name constraint has a minimum or maximum')
    }
    budget.left -= names.length * (allowed.length + banned.length)
    if (budget.left < 0) return unsupported('there are too many names and constraints to compare')
    for (const raw of names) {
      const name = form === 'uri' ? hostOf(raw) : dnsName(raw)
      if (name === undefined) return refused(`a ${form} name has no host that a constraint could be compared with`)
      const rules = form === 'uri' ? uriRules : dnsRules
      if (banned.some(({ base }) => rules.excludes(text(base), name))) return refused(`${name} is excluded`)
      if (allowed.length > 0 && !allowed.some(({ base }) => rules.permits(text(base), name))) {
        return refused(`${name} is not among the permitted names`)
      }
    }
  }
  return undefined
}

const uriRules = {
  /** A host, exactly; or, with a leading dot, whatever has more labels in front. */
  permits: (base: string, host: string) => (base.startsWith('.') ? isBelow(base, host) : base === host && base !== ''),
  /** An empty constraint is not defined for URIs: it excludes everything, and permits nothing. */
  excludes: (base: string, host: string) =>
    base === '' || uriRules.permits(base, host) || uriRules.permits(base, host.replace(/\.$/, '')),
}

const dnsRules = {
  /** The name itself or labels in front of it; an empty constraint is every name. A leading dot wants more labels. */
  permits: (base: string, name: string) =>
    base === '' || (base.startsWith('.') ? isBelow(base, name) : base === name || isBelow(`.${base}`, name)),
  /** The same, with or without the dot; and a wildcard that could stand for an excluded name. */
  excludes: (base: string, name: string) => {
    const bare = base.replace(/^\./, '')
    return dnsRules.permits(bare, name) || (name.startsWith('*.') && isBelow(name.slice(1), bare))
  },
}

function isBelow(suffix: string, name: string): boolean {
  return name.length > suffix.length && name.endsWith(suffix)
}

/** The host of a URI in lower case. One without a plain host name cannot be constrained, RFC 5280 §4.2.1.10. */
function hostOf(raw: Uint8Array): string | undefined {
  const match = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(Buffer.from(raw).toString('latin1'))
  const host = match?.[1]?.replace(/:\d*$/, '').toLowerCase()
  return host !== undefined && /^[a-z0-9._-]+$/.test(host) && !/^\d+(\.\d+){3}$/.test(host) ? host : undefined
}

/**
 * A DNS name in lower case, without the dot of the root. An asterisk stands for a whole first label or is refused
 * (RFC 9525 §6.3): Node takes `f*.example.org` for foo.example.org, so it would slip past an exclusion of that name.
 */
function dnsName(raw: Uint8Array): string | undefined {
  const name = Buffer.from(raw).toString('latin1').toLowerCase().replace(/\.$/, '')
  return /^(\*\.)?[a-z0-9._-]+$/.test(name) ? name : undefined
}

function text({ value }: GeneralName): string {
  return Buffer.from(value).toString('latin1').toLowerCase()
}

/** DNS names; where a leaf has none, common names that read as one, since others may take them for one. */
function dnsNames(certificate: Certificate, isLeaf: boolean): readonly Uint8Array[] {
  const names = certificate.extensions.subjectAltNames.filter(({ type }) => type === 'dns').map(({ value }) => value)
  if (names.length > 0 || !isLeaf) return names
  return subjectAttributes(certificate, oid.commonName).filter((value) =>
    /^[a-z0-9_*-]+(\.[a-z0-9_*-]+)+\.?$/i.test(Buffer.from(value).toString('latin1')),
  )
}

function carries(certificate: Certificate, form: GeneralNameType): boolean {
  const { subjectAltNames } = certificate.extensions
  if (subjectAltNames.some(({ type }) => type === form)) return true
  if (form === 'directoryName') return certificate.subject.length > 2
  if (form !== 'email') return false
  // An internationalised address is an otherName; an old one is an attribute of the subject.
  return (
    subjectAltNames.some(({ type }) => type === 'otherName') ||
    subjectAttributes(certificate, oid.emailAddress).length > 0
  )
}

/** Values of one attribute of the subject; of strings with two or four octets a character only what fits into one. */
function subjectAttributes({ subject }: Certificate, wanted: string): Uint8Array[] {
  return nameAttributes(subject)
    .filter(({ id }) => id === wanted)
    .map(({ value }) => value.filter((octet) => octet !== 0))
}

function refused(message: string): PathFault {
  return pathFault('ERR_X509_CHAIN_UNTRUSTED', `a name constraint is not met: ${message}`)
}

function unsupported(message: string): PathFault {
  return pathFault('ERR_X509_CHAIN_UNSUPPORTED', message)
}
