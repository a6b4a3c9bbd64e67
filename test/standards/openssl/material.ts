import { afterAll, beforeAll, describe } from 'vitest'
import { testOpensslCertificates } from './certificates.js'
import { Openssl, patienceMs } from './openssl.js'
import { testOursByOpenssl } from './ours.js'
import { testOpensslTokens } from './tokens.js'

/** All that is asked of the openssl command, in both directions. */
export function testOpensslMaterial(find: () => Promise<string>): void {
  let openssl: Openssl | undefined
  beforeAll(async () => {
    openssl = await Openssl.open(await find())
  })
  afterAll(() => openssl?.[Symbol.asyncDispose]())
  const opened = () => openssl as Openssl
  describe('certificates that openssl made', { timeout: patienceMs }, () => testOpensslCertificates(opened))
  describe('JWT-SVIDs that openssl signed, and ours', { timeout: patienceMs }, () => testOpensslTokens(opened))
  describe('what we made, read by openssl', { timeout: patienceMs }, () => testOursByOpenssl(opened))
}
