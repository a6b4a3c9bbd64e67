import { der, derBits, derOctets, derOid, derSequence, type TestCertificate } from '../../src/dev/testing/index.js'
import { signBytes } from '../../src/dev/testing/test-keys.js'
import { DerReader, derTag } from '../../src/encoding/index.js'

const subjectKeyId = '2.5.29.14'
const authorityKeyId = '2.5.29.35'

/**
 * The same path, leaf first, with key identifiers of its own that leave no doubt who issued whom, signed anew. Nothing
 * else is changed, so whoever refuses it does so for a rule, and not because it took one signer for another.
 */
export function makeUnambiguous(path: readonly TestCertificate[]): { der: Uint8Array }[] {
  return path.map((certificate, at) => {
    const issuer = path[at + 1]
    const identifiers = [writeExtension(subjectKeyId, derOctets(keyId(at)))]
    // The last one is trusted as it is: nobody looks for who signed it.
    if (issuer) identifiers.push(writeExtension(authorityKeyId, derSequence(der(0x80, keyId(at + 1)))))
    return { der: rewrite(certificate.der, identifiers, issuer ?? certificate) }
  })
}

function keyId(at: number): Buffer {
  return Buffer.alloc(20, at + 1)
}

function writeExtension(id: string, value: Uint8Array): Uint8Array {
  return derSequence(derOid(id), derOctets(value))
}

function rewrite(bytes: Uint8Array, identifiers: readonly Uint8Array[], signer: TestCertificate): Uint8Array {
  const outer = new DerReader(bytes).enter(derTag.sequence, 'certificate')
  const tbs = outer.enter(derTag.sequence, 'tbsCertificate')
  const algorithm = outer.element(derTag.sequence, 'signatureAlgorithm')
  const fields: Uint8Array[] = []
  while (!tbs.atEnd() && tbs.peek() !== 0xa3) fields.push(tbs.any('field').bytes)
  const extensions = tbs.atEnd() ? undefined : tbs.enter(0xa3, 'extensions').enter(derTag.sequence, 'extensions')
  const kept: Uint8Array[] = []
  while (extensions && !extensions.atEnd()) {
    const { bytes: extension, contents } = extensions.any('extension')
    const id = new DerReader(contents).oid('extension')
    if (id !== subjectKeyId && id !== authorityKeyId) kept.push(extension)
  }
  const signed = derSequence(...fields, der(0xa3, derSequence(...kept, ...identifiers)))
  return derSequence(signed, algorithm, derBits(signBytes(signed, signer.privateKey, 'default')))
}
