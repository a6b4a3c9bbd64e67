import type { PrivateKeyFormat } from '../../svid/index.js'

/** How an agent speaks: as the standard says, or as the ICP agent does. */
export type DialectName = 'spiffe' | 'icp'

/** One identity of an X509 message, certificates and key in DER whatever the dialect sends. */
export interface X509Entry {
  readonly spiffeId: string
  readonly chain: Uint8Array
  readonly key: Uint8Array
  readonly keyFormat: PrivateKeyFormat
  readonly bundle: Uint8Array
  readonly hint: string
}

export interface X509Message {
  readonly svids: readonly X509Entry[]
  readonly crls: readonly Uint8Array[]
  /** By trust domain, as the agent names it. */
  readonly federated: ReadonlyMap<string, Uint8Array>
}

export interface X509BundlesMessage {
  readonly bundles: ReadonlyMap<string, Uint8Array>
  readonly crls: readonly Uint8Array[]
}

export interface JwtEntry {
  readonly spiffeId: string
  readonly svid: string
  readonly hint: string
}

export interface ValidatedMessage {
  readonly spiffeId: string
  readonly claims: Readonly<Record<string, unknown>> | undefined
}

/** The calls by their paths, and the messages as neutral values: the only place that knows how they look as bytes. */
export interface Dialect {
  readonly name: DialectName
  readonly paths: {
    readonly x509Svids: string
    readonly x509Bundles: string
    readonly jwtSvids: string
    readonly jwtBundles: string
    readonly validateJwt: string
  }
  readX509Svids(bytes: Uint8Array): X509Message
  readX509Bundles(bytes: Uint8Array): X509BundlesMessage
  writeJwtRequest(audience: readonly string[], spiffeId: string): Uint8Array
  readJwtSvids(bytes: Uint8Array): readonly JwtEntry[]
  readJwtBundles(bytes: Uint8Array): ReadonlyMap<string, Uint8Array>
  writeValidateRequest(audience: string, token: string): Uint8Array
  readValidated(bytes: Uint8Array): ValidatedMessage
}
