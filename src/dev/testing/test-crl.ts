import type { KeyObject } from 'node:crypto'
import { der, derBits, derInteger, derSequence, derTime } from './der-writer.js'
import { writeExtension, type TestExtension } from './test-extensions.js'
import { signatureAlgorithm, signBytes, type TestSignature } from './test-keys.js'

export interface TestCrlOptions {
  /** Serial numbers on the list. */
  revoked?: readonly bigint[] | undefined
  /** Default one minute before `now`. */
  thisUpdate?: Date | undefined
  /** Default one hour after `now`; `null` leaves it out. */
  nextUpdate?: Date | null | undefined
  /** Name of the issuer, DER, when it shall not be the real one's. */
  issuerName?: Uint8Array | undefined
  number?: number | undefined
  extensions?: readonly TestExtension[] | undefined
  /** Extensions of every entry. */
  entryExtensions?: readonly TestExtension[] | undefined
  signature?: TestSignature | undefined
  /** Changes the bytes before they are signed. */
  mangleSigned?: ((tbs: Uint8Array) => Uint8Array) | undefined
  /** Changes the signature. */
  mangleSignature?: ((signature: Uint8Array) => Uint8Array) | undefined
}

interface CrlSigner {
  readonly name: Uint8Array
  readonly keyId: Uint8Array
  readonly privateKey: KeyObject
}

/** RFC 5280 §5.1, version 2. */
export function writeCrl(now: Date, options: TestCrlOptions, issuer: CrlSigner): Uint8Array {
  const { revoked = [], nextUpdate = new Date(now.getTime() + 3_600_000), entryExtensions = [] } = options
  const thisUpdate = options.thisUpdate ?? new Date(now.getTime() - 60_000)
  const how = options.signature ?? 'default'
  const algorithm = signatureAlgorithm(issuer.privateKey, how)
  const extensions: TestExtension[] = [
    { id: '2.5.29.35', value: derSequence(der(0x80, issuer.keyId)) },
    { id: '2.5.29.20', value: derInteger(options.number ?? 1) },
    ...(options.extensions ?? []),
  ]
  const entries = revoked.map((serialNumber) =>
    derSequence(
      derInteger(serialNumber),
      derTime(thisUpdate),
      ...(entryExtensions.length > 0 ? [derSequence(...entryExtensions.map(writeExtension))] : []),
    ),
  )
  const tbs = derSequence(
    derInteger(1),
    algorithm,
    options.issuerName ?? issuer.name,
    derTime(thisUpdate),
    ...(nextUpdate === null ? [] : [derTime(nextUpdate)]),
    ...(entries.length > 0 ? [derSequence(...entries)] : []),
    der(0xa0, derSequence(...extensions.map(writeExtension))),
  )
  const signed = options.mangleSigned?.(tbs) ?? tbs
  const signature = signBytes(signed, issuer.privateKey, how)
  return derSequence(signed, algorithm, derBits(options.mangleSignature?.(signature) ?? signature))
}
