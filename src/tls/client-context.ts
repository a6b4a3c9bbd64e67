import * as tls from 'node:tls'
import type { X509Bundle } from '../bundle/index.js'
import { UntrustedPeerError } from '../errors/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'
import type { X509Svid } from '../svid/index.js'
import { cipherPolicyNames } from './cipher-policy.js'
import type { IdentitySource } from './identity-source.js'

/** Which roots a client loads: one trust domain's, every domain's, or those of the web. */
export type ClientRoots = { trustDomain: TrustDomain | undefined } | { web: readonly string[] | undefined }

export interface ClientContextOptions {
  roots: ClientRoots
  minVersion: tls.SecureVersion
  /** As `readCipherPolicy` returned it. */
  policy: tls.SecureContextOptions
}

interface Generation {
  readonly svid: X509Svid
  readonly bundles: readonly X509Bundle[]
  readonly options: ClientContextOptions
  readonly context: tls.SecureContext
}

/**
 * A secure context that is always the newest: Node reads its property `context` once for every connection, and here
 * that is a getter. The context behind it is rebuilt only when SVID or bundles have changed, once for all clients that load
 * the same.
 *
 * Reading it throws what the source throws (`ERR_X509_SVID_EXPIRED`, …), and `ERR_BUNDLE_NOT_FOUND`.
 */
export function liveSecureContext(source: IdentitySource, options: ClientContextOptions): tls.SecureContext {
  let current: Generation | undefined
  const newest = () => {
    const svid = source.getX509Svid()
    const bundles = bundlesFor(source, svid, options.roots)
    if (current?.svid !== svid || !sameItems(current.bundles, bundles)) {
      current = generationOf(svid, bundles, options)
    }
    return current.context.context as unknown
  }
  return Object.create(secureContextPrototype, { context: { get: newest, enumerable: true } }) as tls.SecureContext
}

// The class is public in JavaScript and missing from the type declarations.
const secureContextPrototype = (tls as unknown as { SecureContext: { prototype: object } }).SecureContext.prototype

/** Those that some client holds. To find one takes microseconds, to build it a millisecond, or 100 with 1000 roots. */
const inUse = new WeakMap<X509Svid, readonly WeakRef<Generation>[]>()

function generationOf(svid: X509Svid, bundles: readonly X509Bundle[], options: ClientContextOptions): Generation {
  const held = (inUse.get(svid) ?? []).flatMap((generation) => generation.deref() ?? [])
  const fitting = held.find((known) => sameItems(known.bundles, bundles) && sameOptions(known.options, options))
  if (fitting) return fitting
  const built = { svid, bundles, options, context: buildContext(svid, bundles, options) }
  const known = [...held, built].map((generation) => new WeakRef(generation))
  inUse.set(svid, known)
  return built
}

function bundlesFor(source: IdentitySource, svid: X509Svid, roots: ClientRoots): readonly X509Bundle[] {
  if ('web' in roots) return []
  if (!roots.trustDomain && source.context) return [...source.context.bundles]
  const trustDomain = roots.trustDomain ?? svid.id.trustDomain
  const bundle = source.getX509Bundle(trustDomain)
  if (bundle) return [bundle]
  throw new UntrustedPeerError(
    'ERR_BUNDLE_NOT_FOUND',
    `there is no bundle for trust domain ${trustDomain.name}, so no server of it can be proved; is it federated?`,
  )
}

function buildContext(svid: X509Svid, bundles: readonly X509Bundle[], options: ClientContextOptions) {
  const { roots, minVersion, policy } = options
  const secureContext: tls.SecureContextOptions = {
    ...policy,
    key: svid.privateKeyPem(),
    cert: svid.certificatesPem(),
    minVersion,
    // A bundle may hold an authority that is not self-signed; it is an anchor all the same.
    allowPartialTrustChain: true,
  }
  // Always a list: without one Node would trust the roots of the web.
  if (!('web' in roots)) secureContext.ca = bundles.map((bundle) => bundle.toPem()).filter((pem) => pem !== '')
  else if (roots.web) secureContext.ca = [...roots.web]
  return tls.createSecureContext(secureContext)
}

/** Of the roots only the web's: others show in the bundles. */
function sameOptions(a: ClientContextOptions, b: ClientContextOptions): boolean {
  if (a.minVersion !== b.minVersion || 'web' in a.roots !== 'web' in b.roots) return false
  if (cipherPolicyNames.some((name) => a.policy[name] !== b.policy[name])) return false
  const [web, other] = [a, b].map(({ roots }) => ('web' in roots ? roots.web : undefined))
  return web === other || (web !== undefined && other !== undefined && sameItems(web, other))
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i])
}
