import { randomUUID, sign, type KeyObject } from 'node:crypto'
import { pemDecode } from '../../../src/encoding/index.js'
import { makeTestKeys, TestTrustDomain, type TestCertificateOptions } from '../../../src/dev/testing/index.js'
import type { HeldSvid } from './python-agent.js'

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

export interface IssuedByTenant extends HeldSvid {
  chain: string
  key: string
  bundle: string
  privateKey: KeyObject
  serialNumber: string
}

/** A trust domain as the server behind an ICP agent runs it: named by a UUID, RSA throughout, PEM, and JWT without `kid`. */
export class Tenant {
  readonly name: string = randomUUID()
  readonly workloadId = `spiffe://${this.name}/workload/web`
  readonly #domain = new TestTrustDomain(this.name, { root: { keyType: 'rsa-2048' } })
  readonly #jwtKeys = makeTestKeys('rsa-2048')

  get bundlePem(): string {
    return this.#domain.bundle().toPem()
  }

  /** An SVID with its key in PKCS#1, and a bundle that does not end in a newline. */
  issue(options: TestCertificateOptions = {}): IssuedByTenant {
    const leaf = this.#domain.leaf({ keyType: 'rsa-2048', names: { uris: [this.workloadId] }, ...options })
    return {
      spiffeId: this.workloadId,
      chain: leaf.certificate.toPem(),
      key: leaf.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
      bundle: this.bundlePem.trimEnd(),
      privateKey: leaf.privateKey,
      serialNumber: leaf.certificate.serialNumber,
    }
  }

  /** An SVID as a standard agent has it. */
  inDer() {
    const { chain, privateKey, serialNumber } = this.issue()
    return {
      certificatesDer: Buffer.concat(pemDecode(chain).map(({ der }) => der)),
      keyDer: privateKey.export({ type: 'pkcs8', format: 'der' }),
      bundleDer: this.#domain.bundle().toDer(),
      serialNumber,
    }
  }

  claims(audience: readonly string[], change: object = {}): Record<string, unknown> {
    const now = Math.floor(Date.now() / 1000)
    return {
      iss: `spiffe://${this.name}`,
      sub: this.workloadId,
      aud: audience,
      exp: now + 3_600,
      nbf: now,
      iat: now,
      jti: randomUUID(),
      permissions: ['read', 'write'],
      ...change,
    }
  }

  sign(claims: object): string {
    const signed = `${base64url({ alg: 'RS256', typ: 'JWT' })}.${base64url(claims)}`
    return `${signed}.${sign('sha256', Buffer.from(signed), this.#jwtKeys.privateKey).toString('base64url')}`
  }

  get jwks(): string {
    const key = this.#jwtKeys.publicKey.export({ format: 'jwk' })
    return JSON.stringify({ keys: [{ ...key, use: 'sig', kid: 'default', alg: 'RS256' }] })
  }
}
