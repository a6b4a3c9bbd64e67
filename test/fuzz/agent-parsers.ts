import type { TestTrustDomain } from '../../src/dev/testing/index.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { SpiffeId } from '../../src/spiffe-id/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import {
  decodeIcpValidated,
  decodeJwtBundles,
  decodeJwtSvids,
  decodeValidated,
} from '../../src/workload-api/decode/jwt.js'
import { decodeX509BundleSet } from '../../src/workload-api/decode/x509-bundle-set.js'
import { decodeX509Context } from '../../src/workload-api/decode/x509-context.js'
import type { Dialect } from '../../src/workload-api/dialects/dialect.js'
import { icpDialect } from '../../src/workload-api/dialects/icp.js'
import { standardDialect } from '../../src/workload-api/dialects/standard.js'
import { parseEndpoint } from '../../src/workload-api/index.js'
import { completeLimits } from '../../src/workload-api/limits.js'
import { Deframer, frame } from '../../src/workload-api/wire/framing.js'
import * as icp from '../../src/workload-api/wire/generated/icp-workload.js'
import * as standard from '../../src/workload-api/wire/generated/workload.js'
import { Writer } from '../../src/workload-api/wire/writer.js'
import type { Parser } from './parsers.js'

const limits = completeLimits()
const text = (value: string) => Buffer.from(value)
const nothing = (run: (input: Buffer) => unknown) => (input: Buffer) => {
  run(input)
  return undefined
}

function write<T>(message: T, by: (writer: Writer, message: T) => void): Uint8Array {
  const writer = new Writer()
  by(writer, message)
  return writer.finish()
}

/** Every parser of what an agent sends, and that of its address. */
export function agentParsers(td: TestTrustDomain, now: Date): Parser[] {
  return [...standardParsers(td, now), ...icpParsers(td, now), framing, endpoint]
}

/** What the two dialects have in common: the messages as bytes, and what the client makes of them. */
function messageParsers(
  dialect: Dialect,
  messages: Readonly<Record<'x509Svids' | 'x509Bundles' | 'jwtSvids' | 'jwtBundles', readonly Uint8Array[]>>,
  issued: readonly X509Svid[],
  now: Date,
): Parser[] {
  const request = { audience: ['a'], spiffeId: undefined }
  return [
    {
      name: `${dialect.name}: X509-SVIDs`,
      inputs: messages.x509Svids,
      run: (input) => {
        const { svids } = decodeX509Context(dialect.readX509Svids(input), limits, now).value
        const known = svids.every(({ privateKey }) => issued.some((svid) => svid.privateKey.equals(privateKey)))
        return known ? undefined : 'took another key'
      },
    },
    {
      name: `${dialect.name}: X.509 bundles`,
      inputs: messages.x509Bundles,
      run: nothing((input) => decodeX509BundleSet(dialect.readX509Bundles(input), limits, now)),
    },
    {
      name: `${dialect.name}: JWT-SVIDs`,
      inputs: messages.jwtSvids,
      run: nothing((input) => decodeJwtSvids(dialect.readJwtSvids(input), request, limits, now)),
    },
    {
      name: `${dialect.name}: JWT bundles`,
      inputs: messages.jwtBundles,
      run: nothing((input) => decodeJwtBundles(dialect.readJwtBundles(input), limits)),
    },
  ]
}

function standardParsers(td: TestTrustDomain, now: Date): Parser[] {
  const svids = [td.svid({}, td.intermediate()), td.svid({ keyType: 'rsa-2048', hint: 'internal' })]
  const bundle = td.bundle().toDer()
  const crl = [td.root.issueCrl({ revoked: [1n, 2n] })]
  const federatedBundles = new Map([
    ['spiffe://other', bundle],
    ['empty', new Uint8Array(0)],
  ])
  const entries = svids.map((svid) => ({
    spiffeId: svid.id.toString(),
    x509Svid: svid.certificatesDer(),
    x509SvidKey: svid.privateKeyDer(),
    bundle,
    hint: svid.hint,
  }))
  const jwks = new Map([
    ['spiffe://td', text(JSON.stringify(td.jwtBundle()))],
    ['spiffe://other', new Uint8Array(0)],
  ])
  const token = { spiffeId: 'spiffe://td/w', svid: td.token(), hint: 'internal' }
  const answer = { spiffeId: 'spiffe://td/w', claims: structOf({ sub: 'spiffe://td/w', aud: ['a'], exp: 4e9 }) }
  const nested = { spiffeId: 'spiffe://td/w', claims: structOf({ deep: [[[{ deeper: [[true, null]] }]]] }) }
  const messages = {
    x509Svids: [
      write({ svids: entries, crl, federatedBundles }, standard.writeX509SVIDResponse),
      write({ svids: entries.slice(0, 1), crl: [], federatedBundles: new Map() }, standard.writeX509SVIDResponse),
    ],
    x509Bundles: [
      write(
        { crl, bundles: new Map([['spiffe://td', bundle], ...federatedBundles]) },
        standard.writeX509BundlesResponse,
      ),
    ],
    jwtSvids: [write({ svids: [token, { ...token, hint: '' }] }, standard.writeJWTSVIDResponse)],
    jwtBundles: [write({ bundles: jwks }, standard.writeJWTBundlesResponse)],
  }
  return [
    ...messageParsers(standardDialect, messages, svids, now),
    {
      name: 'spiffe: validation',
      inputs: [answer, nested].map((message) => write(message, standard.writeValidateJWTSVIDResponse)),
      run: nothing((input) => decodeValidated(standardDialect.readValidated(input))),
    },
  ]
}

function icpParsers(td: TestTrustDomain, now: Date): Parser[] {
  const [ec, rsa] = [td.svid({}, td.intermediate()), td.svid({ keyType: 'rsa-2048' })]
  const spiffeId = 'spiffe://td/w'
  const pem = text(td.bundle().toPem())
  const crl = new Map([['td', td.root.issueCrl()]])
  const federatedBundles = new Map([['Other.Test', pem]])
  const entryOf = (svid: X509Svid, change: Partial<icp.X509SVID> = {}) => ({
    spiffeId,
    x509Svid: text(svid.certificatesPem()),
    x509SvidKey: text(svid.privateKeyPem()),
    bundle: pem,
    ...change,
  })
  const inDer = { x509Svid: rsa.certificatesDer(), x509SvidKey: rsa.privateKeyDer(), bundle: td.bundle().toDer() }
  const message = (...svids: icp.X509SVID[]) => write({ svids, crl, federatedBundles }, icp.writeX509SVIDResponse)
  const keys = (JSON.parse(JSON.stringify(td.jwtBundle())) as { keys: object[] }).keys
  const jwks = text(JSON.stringify({ keys: keys.map((key) => ({ ...key, use: 'sig' })) }))
  const token = td.token()
  const claims = new Map([
    ['sub', spiffeId],
    ['aud', '[a]'],
  ])
  const messages = {
    x509Svids: [message(entryOf(ec)), message(entryOf(rsa, inDer), entryOf(ec))],
    x509Bundles: [write({ bundles: new Map([['td', pem]]) }, icp.writeX509BundlesResponse)],
    jwtSvids: [write({ svids: [{ spiffeId, svid: token }] }, icp.writeJWTSVIDResponse)],
    jwtBundles: [write({ bundles: new Map([['td', jwks]]) }, icp.writeJWTBundlesResponse)],
  }
  /** One part of a message that is right but for it. */
  const part = (
    name: string,
    svid: X509Svid,
    field: 'x509Svid' | 'x509SvidKey' | 'bundle',
    inputs: Uint8Array[],
  ): Parser => ({
    name,
    inputs,
    run: (input) => {
      const { svids } = icpDialect.readX509Svids(message(entryOf(svid, { [field]: input })))
      const { value } = decodeX509Context({ svids, crls: [], federated: new Map() }, limits, now)
      return value.defaultSvid.privateKey.equals(svid.privateKey) ? undefined : 'took another key'
    },
  })
  const keyInPem = (svid: X509Svid, type: 'sec1' | 'pkcs1') =>
    text(svid.privateKey.export({ type: type, format: 'pem' }) as string)
  return [
    ...messageParsers(icpDialect, messages, [ec, rsa], now),
    {
      name: 'icp: validation',
      inputs: [write({ spiffeId, claims }, icp.writeValidateJWTSVIDResponse)],
      run: (input) => {
        const { id } = decodeIcpValidated(icpDialect.readValidated(input), token, 'a', now)
        return id.equals(SpiffeId.parse(spiffeId)) ? undefined : 'believed another subject'
      },
    },
    part('icp: certificates', ec, 'x509Svid', [text(ec.certificatesPem()), ec.certificatesDer()]),
    part('icp: own key, EC', ec, 'x509SvidKey', [text(ec.privateKeyPem()), keyInPem(ec, 'sec1'), ec.privateKeyDer()]),
    part('icp: own key, RSA', rsa, 'x509SvidKey', [text(rsa.privateKeyPem()), keyInPem(rsa, 'pkcs1')]),
    part('icp: own bundle', ec, 'bundle', [pem, td.bundle().toDer()]),
  ]
}

function structOf(object: Readonly<Record<string, unknown>>): standard.Struct {
  return { fields: new Map(Object.entries(object).map(([name, value]) => [name, valueOf(value)])) }
}

function valueOf(value: unknown): standard.Value {
  const none = {
    nullValue: undefined,
    numberValue: undefined,
    stringValue: undefined,
    boolValue: undefined,
    structValue: undefined,
    listValue: undefined,
  }
  if (Array.isArray(value)) return { ...none, listValue: { values: value.map(valueOf) } }
  if (typeof value === 'number') return { ...none, numberValue: value }
  if (typeof value === 'string') return { ...none, stringValue: value }
  if (typeof value === 'boolean') return { ...none, boolValue: value }
  if (value === null) return { ...none, nullValue: 0 }
  return { ...none, structValue: structOf(value as Record<string, unknown>) }
}

const maxMessageBytes = 65_536

/** The messages that these octets hold, when they come in pieces of this size. */
function deframe(octets: Buffer, size: number) {
  const deframer = new Deframer(maxMessageBytes)
  const messages: Uint8Array[] = []
  for (let at = 0; at < octets.length; at += size) {
    const { messages: some, fault } = deframer.push(octets.subarray(at, at + size))
    messages.push(...some)
    if (fault) return { messages, fault: fault.details }
  }
  return { messages, fault: deframer.atBoundary ? undefined : 'cut short' }
}

const framing: Parser = {
  name: 'gRPC framing',
  inputs: [
    Buffer.concat([0, 1, 200, 3000].map((length) => frame(Buffer.alloc(length, 0x0a)))),
    Buffer.concat(Array.from({ length: 40 }, (_, index) => frame(Buffer.alloc(index % 3)))),
  ],
  run: (input) => {
    const { messages, fault } = deframe(input, input.length)
    const inPieces = deframe(input, 1 + (input.length % 11))
    const same = Buffer.concat(messages).equals(Buffer.concat(inPieces.messages))
    if (!same || messages.length !== inPieces.messages.length || fault !== inPieces.fault) {
      return 'reads pieces otherwise than the whole'
    }
    if (fault !== undefined) throw new InvalidMaterialError('ERR_WORKLOAD_API_RESPONSE_INVALID', fault)
    return Buffer.concat(messages.map(frame)).equals(input) ? undefined : 'gave out what was not sent'
  },
}

const endpoint: Parser = {
  name: 'endpoint',
  inputs: ['unix:///run/spire/agent.sock', 'unix:/tmp/a%20b.sock', 'tcp://127.0.0.1:8081', 'tcp://[fe80::1]:65535'].map(
    text,
  ),
  run: (input) => {
    const given = input.toString('latin1')
    // The grammar once more, as an expression.
    const grammar = /^(unix:(\/\/)?\/(?!\/)[^?#]*[^?#/]|tcp:\/\/([0-9.]{7,15}|\[[0-9a-f:.]+\]):[1-9][0-9]{0,4})$/i
    return parseEndpoint(given).text === given && grammar.test(given) ? undefined : `took ${JSON.stringify(given)}`
  },
}
