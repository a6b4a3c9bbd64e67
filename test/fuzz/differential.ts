import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { derOid, type TestCertificate } from '../../src/dev/testing/index.js'
import { SpiffeError } from '../../src/errors/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyX509Svid, type TlsPurpose } from '../../src/svid/index.js'
import { sameBytes, type Certificate } from '../../src/encoding/index.js'
import { askOpenssl, type OpensslPurpose } from './openssl-verify.js'
import { Random } from './random.js'
import { makeWorld, now, type World } from './random-world.js'
import { ruleInTheWay, ruleOf, sha1Rule } from './stricter-rules.js'
import { makeUnambiguous } from './unambiguous-path.js'

const leavesPerWorld = 25
const trustDomain = TrustDomain.parse('td')

export interface DifferentialResult {
  cases: number
  seed: number
  accepted: number
  bothRefuse: number
  /** Why, where both refuse: our code, and what OpenSSL says of the use as a server. */
  refusals: { ours: Record<string, number>; openssl: Record<string, number> }
  /** OpenSSL refuses, also when it is given nothing but the path that we found: never. */
  laxer: string[]
  /** OpenSSL accepts our path alone, and got lost among the other certificates: it does not try every way. */
  otherWay: number
  /** We refuse and OpenSSL accepts, by the rule of ours. */
  stricter: Record<string, number>
  /** We refuse and OpenSSL accepts, and no rule of ours says why: never. */
  unexplained: string[]
}

/** Compares our answers with those of the openssl command over random topologies. */
export async function runDifferential(
  { cases, seed }: { cases: number; seed: number },
  onWorld?: (done: number) => void,
): Promise<DifferentialResult> {
  const result: DifferentialResult = {
    cases: 0,
    seed,
    accepted: 0,
    bothRefuse: 0,
    refusals: { ours: {}, openssl: {} },
    otherWay: 0,
    laxer: [],
    stricter: {},
    unexplained: [],
  }
  const directory = await mkdtemp(join(tmpdir(), 'fuzz-'))
  try {
    for (let turn = 0; result.cases < cases; turn++) {
      // A seed of its own for each world, so that a finding can be replayed alone.
      const world = makeWorld(new Random(seed + turn * 7919), Math.min(leavesPerWorld, cases - result.cases))
      if (world.authorities.length === 0) continue
      await compareWorld(world, directory, seed + turn * 7919, result)
      onWorld?.(result.cases)
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return result
}

async function compareWorld(world: World, directory: string, seed: number, result: DifferentialResult): Promise<void> {
  const { accepted: asServer, reasons } = await askOpenssl(world, directory, 'sslserver')
  const { accepted: asClient } = await askOpenssl(world, directory, 'sslclient')
  const bundles = readBundles(world)
  for (const [at, leaf] of world.leaves.entries()) {
    result.cases++
    const chain = [leaf, ...world.presented].map(({ der }) => der)
    const where = `world ${seed} leaf ${at}`
    let accepted = false
    let refusal = ''
    for (const [purpose, theirs] of [
      ['serverAuth', asServer.has(at)],
      ['clientAuth', asClient.has(at)],
      [undefined, asServer.has(at) || asClient.has(at)],
    ] as const) {
      const answer = bundles ? tryTo(() => verifyX509Svid(chain, bundles, { now, purpose })) : 'unusable bundle'
      if (typeof answer === 'string') {
        refusal = answer
        if (!theirs || purpose !== undefined) continue
        // What needs a link with SHA-1 may be refused for the fault of another path that was looked at.
        const rule =
          ruleOf(answer) ?? ruleInTheWay(world, at) ?? ((await needsSha1(world, at, directory)) ? sha1Rule : undefined)
        if (rule === undefined) result.unexplained.push(`${where} ${answer}`)
        else count(result.stricter, rule)
        continue
      }
      accepted = true
      if (theirs) continue
      if (await opensslAcceptsPath(answer.path, world, directory, purpose)) result.otherWay++
      else result.laxer.push(`${where} ${purpose ?? 'either'}`)
    }
    if (accepted) result.accepted++
    else if (!asServer.has(at) && !asClient.has(at)) {
      result.bothRefuse++
      count(result.refusals.ours, refusal.replace(/:.*/, ''))
      count(result.refusals.openssl, reasons.get(at) ?? 'nothing')
    }
  }
}

/** Whether OpenSSL accepts the path that we found, and nothing beside it. */
async function opensslAcceptsPath(
  path: readonly Certificate[],
  world: World,
  directory: string,
  purpose: TlsPurpose | undefined,
): Promise<boolean> {
  if (await opensslAcceptsAlone(path, directory, purpose)) return true
  const subjects = path.slice(1).map(({ subject }) => Buffer.from(subject).toString('latin1'))
  if (new Set(subjects).size === subjects.length) return false
  // Where two signers have one name, OpenSSL may take either for the other, and goes no further when that was wrong. So
  // each link as it is, by OpenSSL's own words for one; and all rules of the whole path, where nothing can be mistaken.
  const natives = path.map((certificate) => new X509Certificate(certificate.der))
  const linked = natives.slice(0, -1).every((child, at) => {
    const issuer = natives[at + 1]
    return issuer !== undefined && child.checkIssued(issuer) && child.verify(issuer.publicKey)
  })
  return linked && (await opensslAcceptsAlone(makeUnambiguous(minted(path, world)), directory, purpose))
}

async function opensslAcceptsAlone(
  path: readonly { der: Uint8Array }[],
  directory: string,
  purpose: TlsPurpose | undefined,
): Promise<boolean> {
  const alone = { authorities: path.slice(-1), presented: path.slice(1, -1), leaves: path.slice(0, 1) }
  const purposes: OpensslPurpose[] = []
  if (purpose !== 'clientAuth') purposes.push('sslserver')
  if (purpose !== 'serverAuth') purposes.push('sslclient')
  for (const one of purposes) if ((await askOpenssl(alone, directory, one)).accepted.size === 1) return true
  return false
}

/** The certificates of a path with their keys. */
function minted(path: readonly Certificate[], world: World): TestCertificate[] {
  const all = [...world.leaves, ...world.presented, ...world.authorities]
  return path.map((certificate) => {
    const found = all.find(({ der }) => sameBytes(der, certificate.der))
    if (!found) throw new Error('the path has a certificate that is not of this world')
    return found
  })
}

/** OpenSSL refuses too as soon as what is signed with SHA-1 is taken away. */
async function needsSha1(world: World, at: number, directory: string): Promise<boolean> {
  const leaf = world.leaves[at]
  if (!leaf || isSha1(leaf.der)) return true
  const rest = { ...world, presented: world.presented.filter(({ der }) => !isSha1(der)), leaves: [leaf] }
  for (const purpose of ['sslserver', 'sslclient'] as const) {
    if ((await askOpenssl(rest, directory, purpose)).accepted.size > 0) return false
  }
  return true
}

function isSha1(certificate: Uint8Array): boolean {
  return ['1.2.840.10045.4.1', '1.2.840.113549.1.1.5'].some((id) => Buffer.from(certificate).includes(derOid(id)))
}

function readBundles(world: World): X509BundleSet | undefined {
  // An authority that our profile refuses is none for us: the rest of the bundle still is.
  const authorities = world.authorities
    .map(({ certificate }) => certificate)
    .filter((certificate) => typeof tryTo(() => X509Bundle.fromAuthorities(trustDomain, [certificate])) !== 'string')
  return authorities.length === 0
    ? undefined
    : new X509BundleSet([X509Bundle.fromAuthorities(trustDomain, authorities)])
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1
}

/** What `run` returns, or its refusal as text. */
function tryTo<T extends object>(run: () => T): T | string {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error
    return `${error.code}: ${error.message}`
  }
}
