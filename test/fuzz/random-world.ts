import { derName, makeTestKeys, TestCertificate, type TestCertificateOptions } from '../../src/dev/testing/index.js'
import type { TestKeyPair, TestKeyUsage, TestNames } from '../../src/dev/testing/index.js'
import type { Random } from './random.js'

export const now = new Date('2026-03-01T12:00:00Z')
const later = (seconds: number) => new Date(now.getTime() + seconds * 1000)

/** One trust domain as a stranger might build it: authorities, signers among and around them, leaves below all of them. */
export interface World {
  authorities: TestCertificate[]
  /** What is sent beside each leaf, in this order. */
  presented: TestCertificate[]
  leaves: TestCertificate[]
}

const names = ['root', 'signer', 'middle', 'other'] as const
const unknownCritical = { id: '1.3.6.1.4.1.99999.1', critical: true, value: Buffer.from([5, 0]) }

let pool: TestKeyPair[] | undefined

export function makeWorld(random: Random, leafCount: number): World {
  pool ??= Array.from({ length: 24 }, () => makeTestKeys()).concat([makeTestKeys('rsa-2048'), makeTestKeys('ed25519')])
  // Few keys and few names, so that twins, cross-signed certificates and decoys come about by themselves.
  const keys = Array.from({ length: 2 + random.below(5) }, () => random.pick(pool ?? []))
  const signers: TestCertificate[] = []
  const size = 1 + random.below(7)
  for (let i = 0; i < size; i++) {
    const issuer = signers.length > 0 && random.chance(0.7) ? random.pick(signers) : undefined
    signers.push(mint(random, caOptions(random, keys), issuer))
  }
  const authorities = signers.filter(({ certificate }) => certificate.isCa && random.chance(0.35))
  const [first] = signers
  if (authorities.length === 0 && first?.certificate.isCa) authorities.push(first)
  const sent = signers.filter(() => random.chance(0.85))
  const presented = random.shuffle(random.chance(0.2) ? [...sent, ...sent] : sent)
  const leaves = Array.from({ length: leafCount }, () => mint(random, leafOptions(random, keys), random.pick(signers)))
  return { authorities, presented, leaves }
}

function mint(random: Random, options: TestCertificateOptions, issuer: TestCertificate | undefined): TestCertificate {
  const complete = { ...options, serialNumber: BigInt(1 + random.below(2 ** 30)) }
  return issuer ? issuer.issue(complete) : TestCertificate.selfSigned({ ...complete, now })
}

function caOptions(random: Random, keys: readonly TestKeyPair[]): TestCertificateOptions {
  const usages: readonly (readonly TestKeyUsage[] | null)[] = [['digitalSignature'], ['cRLSign'], null]
  const pathLen = random.chance(0.25) ? random.below(3) : undefined
  return {
    ...common(random),
    keys: random.pick(keys),
    subject: random.pick(names),
    names: { uris: [random.chance(0.95) ? 'spiffe://td' : 'spiffe://other'] },
    basicConstraints: random.chance(0.96) ? { ca: true, pathLen } : random.pick([{ ca: false }, null]),
    keyUsage: random.chance(0.94) ? ['keyCertSign', 'cRLSign'] : random.pick(usages),
    extKeyUsage: purposes(random, 0.15),
    ...(random.chance(0.2) ? { nameConstraints: constraints(random) } : {}),
  }
}

function leafOptions(random: Random, keys: readonly TestKeyPair[]): TestCertificateOptions {
  const uris = random.chance(0.96)
    ? ['spiffe://td/w']
    : random.pick([['spiffe://td'], [], ['spiffe://td/w', 'https://td/']])
  const extra: TestNames = random.chance(0.25) ? { dnsNames: [random.pick(['a.test', 'b.a.test', 'c.test'])] } : {}
  const more: TestNames = random.chance(0.05) ? { emails: ['a@a.test'] } : {}
  const address: TestNames = random.chance(0.05) ? { ips: [Buffer.from([10, 0, 0, 1])] } : {}
  return {
    ...common(random),
    keys: random.pick(keys),
    subject: random.chance(0.9) ? 'workload' : random.pick(['', 'a.test', 'c.test', 'signer']),
    names: { uris, ...extra, ...more, ...address },
    basicConstraints: random.chance(0.95) ? { ca: false } : random.pick([null, { ca: true }]),
    keyUsage: random.chance(0.95)
      ? ['digitalSignature']
      : random.pick([null, ['keyEncipherment'], ['digitalSignature', 'keyCertSign']]),
    extKeyUsage: purposes(random, 0.9),
  }
}

/** What may be wrong with any certificate, each of it seldom enough that good paths remain. */
function common(random: Random): TestCertificateOptions {
  return {
    ...(random.chance(0.06) ? { notAfter: later(-1 - random.below(100)) } : {}),
    ...(random.chance(0.03) ? { notBefore: later(1 + random.below(100)) } : {}),
    ...(random.chance(0.03) ? { issuerName: derName(random.pick(names)) } : {}),
    ...(random.chance(0.2)
      ? { authorityKeyId: null }
      : random.chance(0.03)
        ? { authorityKeyId: Buffer.alloc(20, 1) }
        : {}),
    ...(random.chance(0.2) ? { subjectKeyId: null } : random.chance(0.03) ? { subjectKeyId: Buffer.alloc(20, 2) } : {}),
    ...(random.chance(0.02) ? { extensions: [unknownCritical] } : {}),
    ...(random.chance(0.02) ? { mangleSignature: flipLastBit } : {}),
    ...(random.chance(0.01) ? { signature: 'sha1' as const } : {}),
  }
}

function flipLastBit(signature: Uint8Array): Uint8Array {
  return signature.map((octet, at) => (at === signature.length - 1 ? octet ^ 1 : octet))
}

function purposes(random: Random, present: number): string[] | null {
  if (!random.chance(present)) return null
  if (random.chance(0.8)) return ['serverAuth', 'clientAuth']
  return random.pick([['serverAuth'], ['clientAuth'], ['any'], ['codeSigning'], ['any', 'clientAuth']])
}

function constraints(random: Random): NonNullable<TestCertificateOptions['nameConstraints']> {
  const some = (): TestNames =>
    random.pick<TestNames>([
      { uris: ['td'] },
      { uris: ['td'] },
      { uris: ['other'] },
      { uris: ['.td', 'td'] },
      { uris: ['.td'] },
      { dnsNames: ['a.test'] },
      { dnsNames: ['.a.test'] },
      { dnsNames: [''] },
      { emails: ['a.test'] },
      { ips: [Buffer.from([10, 0, 0, 0, 255, 0, 0, 0])] },
      { directoryNames: [derName('workload')] },
    ])
  const both = { permitted: some(), excluded: some() }
  return random.pick([{ permitted: both.permitted }, { permitted: both.permitted }, { excluded: both.excluded }, both])
}
