import { JwtBundle, SpiffeBundle, SpiffeBundleMap, X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { makeTestKeys, TestTrustDomain } from '../../src/dev/testing/index.js'
import { Certificate, CertificateRevocationList, parseStrictJson, pemDecode } from '../../src/encoding/index.js'
import { SpiffeError } from '../../src/errors/index.js'
import { SpiffeId, TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyX509Svid, X509Svid } from '../../src/svid/index.js'
import { mutate } from './mutate.js'
import { Random } from './random.js'

export interface MutationResult {
  cases: number
  seed: number
  /** How many mutated inputs each parser took, and how many it refused. */
  parsers: Record<string, { taken: number; refused: number }>
  /** What was thrown and is not ours, or what was proved and never issued: never. */
  faults: string[]
}

interface Parser {
  name: string
  inputs: readonly Uint8Array[]
  /** Throws when the input is refused. Returns a complaint when it took what it must not take. */
  run: (input: Buffer, original: Uint8Array) => string | undefined
}

const now = new Date('2026-03-01T12:00:00Z')

function makeParsers(): Parser[] {
  const td = new TestTrustDomain('td', { now })
  const intermediate = td.intermediate({
    nameConstraints: { permitted: { uris: ['td'] } },
    extKeyUsage: ['clientAuth'],
  })
  const leaf = td.leaf({ names: { uris: ['spiffe://td/w'], dnsNames: ['a.test'] } }, intermediate)
  const crl = td.root.issueCrl({ revoked: [1n, 2n, 3n] })
  const certificates = [leaf.der, intermediate.der, td.root.der, td.leaf({ keyType: 'rsa-2048' }).der]
  const bundles = new X509BundleSet([td.bundle({ crls: [crl] })])
  const key = leaf.privateKey.export({ type: 'pkcs8', format: 'der' })
  const jwt = { use: 'jwt-svid', kid: 'a', ...makeTestKeys().publicKey.export({ format: 'jwk' }) }
  const document = JSON.stringify({
    keys: [
      jwt,
      ...(
        JSON.parse(
          SpiffeBundle.from({ trustDomain: td.trustDomain, x509Authorities: [td.root.certificate] }).marshal(),
        ) as { keys: object[] }
      ).keys,
    ],
    spiffe_sequence: 5,
    spiffe_refresh_hint: 60,
  })
  const nothing = (run: (input: Buffer) => unknown) => (input: Buffer) => {
    run(input)
    return undefined
  }
  const text = (...values: string[]) => values.map((value) => Buffer.from(value))
  return [
    { name: 'Certificate', inputs: certificates, run: nothing((input) => Certificate.parse(input).publicKey) },
    {
      name: 'certificates',
      inputs: [Buffer.concat(certificates)],
      run: nothing((input) => Certificate.parseAll(input)),
    },
    { name: 'revocation list', inputs: [crl], run: nothing((input) => CertificateRevocationList.parse(input)) },
    {
      name: 'X509Bundle',
      inputs: [td.root.der, crl],
      run: nothing((input) => [td.bundle({ crls: [input] }), X509Bundle.parse(td.trustDomain, input)]),
    },
    { name: 'PEM', inputs: text(td.bundle().toPem()), run: nothing((input) => pemDecode(input.toString('latin1'))) },
    { name: 'JSON', inputs: text(document, '[1,{"a":[true,null,"x\\u0041"]}]'), run: nothing(readJson) },
    {
      name: 'SpiffeBundle',
      inputs: text(document),
      run: nothing((input) => SpiffeBundle.parse(td.trustDomain, input)),
    },
    { name: 'JwtBundle', inputs: text(document), run: nothing((input) => JwtBundle.parse(td.trustDomain, input)) },
    {
      name: 'SpiffeBundleMap',
      inputs: text(`{"trust_domains":{"td":${document},"__proto__":{"keys":[]}}}`),
      run: nothing((input) => SpiffeBundleMap.parse(input)),
    },
    {
      name: 'SpiffeId',
      inputs: text('spiffe://example.org/ns/prod/sa/web', 'spiffe://a.b-c_d/..w/...'),
      run: (input) => {
        // The grammar once more, as an expression: scheme, name, segments that are neither `.` nor `..`.
        const grammar = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)*$/
        const id = SpiffeId.parseBytes(input).toString()
        return id === input.toString('latin1') && grammar.test(id) ? undefined : `took ${JSON.stringify(id)}`
      },
    },
    {
      name: 'TrustDomain',
      inputs: text('example.org', 'spiffe://td'),
      run: nothing((input) => TrustDomain.parse(input.toString('latin1'))),
    },
    {
      name: 'own key',
      inputs: [key],
      run: (input) =>
        X509Svid.parse(leaf.der, input).privateKey.equals(leaf.privateKey) ? undefined : 'took another key',
    },
    {
      name: 'peer',
      inputs: [leaf.der, intermediate.der],
      run: (input, original) => {
        const chain = original === leaf.der ? [input, intermediate.der] : [leaf.der, input]
        const verified = verifyX509Svid(chain, bundles, { now })
        const genuine =
          Buffer.from(verified.leaf.der).equals(leaf.der) && verified.path[1]?.equals(intermediate.certificate)
        return genuine === true ? undefined : 'proved what was never issued'
      },
    },
  ]
}

/** Feeds every parser with mutated inputs. Each run ends because the parsers bound their own work. */
export function runMutation({ cases, seed }: { cases: number; seed: number }): MutationResult {
  const random = new Random(seed)
  const parsers = makeParsers()
  const inputs = parsers.flatMap((parser) => parser.inputs)
  const result: MutationResult = { cases, seed, parsers: {}, faults: [] }
  for (let turn = 0; turn < cases; turn++) {
    const parser = parsers[turn % parsers.length] as Parser
    const counts = (result.parsers[parser.name] ??= { taken: 0, refused: 0 })
    const original = random.pick(parser.inputs)
    const input = mutate(random, original, inputs)
    try {
      const complaint = parser.run(input, original)
      counts.taken++
      if (complaint !== undefined) result.faults.push(`${parser.name}: ${complaint}: ${input.toString('hex')}`)
    } catch (error) {
      counts.refused++
      if (!(error instanceof SpiffeError))
        result.faults.push(`${parser.name}: ${String(error)}: ${input.toString('hex')}`)
    }
  }
  return result
}

/** The one reader that speaks like JSON.parse: who calls it wraps the error. */
function readJson(input: Buffer): void {
  try {
    parseStrictJson(input)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
}
