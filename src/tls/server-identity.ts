import { constants } from 'node:crypto'
import type * as tls from 'node:tls'
import type { IdentitySource } from './identity-source.js'
import { readMinVersion } from './min-version.js'

/** An ordinary certificate with its key, both PEM. */
export interface WebCertificate {
  cert: string
  key: string
}

/** What a server shows and speaks; who its clients are is another matter. */
export interface ServerTlsPolicy {
  /** Lowest version that is spoken. Default `'TLSv1.3'`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  /**
   * Shown to clients in place of our SVID, for browsers and other clients that know no SPIFFE. A function is asked at
   * each new connection; it should return the same object until the certificate changes. Default: the SVID.
   */
  webCertificate?: WebCertificate | (() => WebCertificate) | undefined
}

/**
 * The part of Node's TLS options that we decide. `setSecureContext` forgets every option that is not passed again,
 * so it is always passed as a whole.
 */
export function contextOptions(certificate: WebCertificate | undefined, minVersion: tls.SecureVersion) {
  return {
    ...certificate,
    // Clients are verified by us, by the bundle of their own trust domain; no list could express that. It must be an
    // empty list and nothing else: without one Node trusts the roots of the web.
    ca: [],
    minVersion,
    // A resumed session skips every check and keeps the identity it was made with.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } satisfies tls.SecureContextOptions
}

/** Asks for the certificate to show, and tells by identity of `from` whether it is still the one shown before. */
export function certificateToShow(source: IdentitySource, { webCertificate }: ServerTlsPolicy) {
  if (webCertificate) {
    const { cert, key } = typeof webCertificate === 'function' ? webCertificate() : webCertificate
    return { from: `${cert}${key}`, certificate: () => ({ cert, key }) }
  }
  const svid = source.getX509Svid()
  return { from: svid, certificate: () => ({ cert: svid.certificatesPem(), key: svid.privateKeyPem() }) }
}

/** Keeps a server's certificate the newest that the source has. */
export class ServerIdentity {
  readonly #server: tls.Server
  readonly #source: IdentitySource
  readonly #policy: ServerTlsPolicy
  readonly #kept: tls.SecureContextOptions
  #from: unknown

  constructor(server: tls.Server, source: IdentitySource, policy: ServerTlsPolicy) {
    this.#server = server
    this.#source = source
    this.#policy = policy
    this.#kept = optionsToKeep(server, policy)
  }

  /**
   * Makes the next handshake use the newest certificate.
   * @throws whatever the source throws; the server then has no certificate, and every handshake fails.
   */
  renew(): void {
    try {
      const { from, certificate } = certificateToShow(this.#source, this.#policy)
      if (from === this.#from) return
      this.#use(certificate())
      this.#from = from
    } catch (error) {
      if (this.#from !== nothing) this.#use(undefined)
      this.#from = nothing
      throw error
    }
  }

  #use(certificate: WebCertificate | undefined): void {
    const { minVersion = 'TLSv1.3', secureOptions = 0, ...kept } = this.#kept
    const ours = contextOptions(certificate, minVersion)
    this.#server.setSecureContext({ ...kept, ...ours, secureOptions: secureOptions | ours.secureOptions })
    // Node keeps what it was given on the server, for nobody to read but who prints it.
    Object.assign(this.#server, { key: undefined })
  }
}

const nothing = Symbol('no certificate')

/** Choices of the application that have to outlive each renewal. Node keeps them on the server, untyped. */
function optionsToKeep(server: tls.Server, { minVersion }: ServerTlsPolicy): tls.SecureContextOptions {
  const set = server as unknown as tls.SecureContextOptions
  const kept = (
    ['ciphers', 'honorCipherOrder', 'sigalgs', 'ecdhCurve', 'dhparam', 'maxVersion', 'secureOptions'] as const
  )
    .map((name) => [name, set[name]] as const)
    .filter(([, value]) => value !== undefined)
  return {
    ...(Object.fromEntries(kept) as tls.SecureContextOptions),
    minVersion: readMinVersion(minVersion) ?? (set.minVersion === 'TLSv1.2' ? 'TLSv1.2' : 'TLSv1.3'),
  }
}
