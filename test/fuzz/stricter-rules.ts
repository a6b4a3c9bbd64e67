import { findSigningFault } from '../../src/bundle/index.js'
import type { Certificate } from '../../src/encoding/index.js'
import { findCertificateFault, findPathRuleFault } from '../../src/svid/path-rules.js'
import { now, type World } from './random-world.js'

/** Rules that are ours, by what the refusal says. OpenSSL accepts such chains, and that is its right. */
const rules: readonly (readonly [string, RegExp])[] = [
  ['a leaf has exactly one URI name', /it has \d+ URI names/],
  ['a leaf has a path in its ID', /has no path; that of a leaf/],
  ['a leaf is no CA', /it is a CA/],
  ['a leaf has digitalSignature and no signing bits', /keyUsage (lacks digitalSignature|has keyCertSign)/],
  ['every certificate but an authority has keyUsage', /keyUsage is missing/],
  ['an empty list of names is malformed', /subjectAltName: an empty list/],
  ['a certificate that names itself as its issuer ends a path', /names itself as its issuer/],
  ['a certificate with names of a constrained form that is not judged', /names are constrained, which is not judged/],
  [
    'an exclusion of the names below a domain is one of the domain',
    /a name constraint is not met: a\.test is excluded/,
  ],
]

/** It has no words of its own: such a link is none, and the refusal tells of what else there was. */
export const sha1Rule = 'SHA-1 is no signature'

export function ruleOf(refusal: string): string | undefined {
  return rules.find(([, shape]) => shape.test(refusal))?.[0]
}

/**
 * The rule of ours that stands in the only ways there are: some path holds by signatures and breaks nothing else. The
 * refusal itself may tell of another path that was looked at first.
 */
export function ruleInTheWay(world: World, at: number): string | undefined {
  const leaf = world.leaves[at]?.certificate
  const presented = world.presented.map(({ certificate }) => certificate)
  const authorities = world.authorities.map(({ certificate }) => certificate)
  const found = leaf && findBlockedPath([leaf], presented, authorities)
  return found && ruleOf(found)
}

function findBlockedPath(
  path: readonly Certificate[],
  presented: readonly Certificate[],
  authorities: readonly Certificate[],
): string | undefined {
  const last = path.at(-1) as Certificate
  for (const authority of authorities) {
    if (!last.isIssuedBy(authority)) continue
    const faults = faultsOf([...path, authority])
    if (faults.length > 0 && faults.every((fault) => ruleOf(fault) !== undefined)) return faults[0]
  }
  if (path.length >= 7) return undefined
  for (const signer of presented) {
    if (path.some((other) => other.equals(signer)) || !last.isIssuedBy(signer)) continue
    const found = findBlockedPath([...path, signer], presented, authorities)
    if (found !== undefined) return found
  }
  return undefined
}

function faultsOf(path: readonly Certificate[]): string[] {
  const single = path.flatMap((certificate, at) => {
    const role = at === 0 ? 'leaf' : at === path.length - 1 ? 'authority' : 'intermediate'
    const signing = role === 'authority' ? findSigningFault(certificate, role) : undefined
    return [findCertificateFault(certificate, role, now.getTime())?.message, signing]
  })
  return [...single, findPathRuleFault(path, undefined)?.message].filter((fault) => fault !== undefined)
}
