import { expect } from 'vitest'
import { X509BundleSet } from '../../src/bundle/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { SpiffeId, TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyX509Svid, X509Svid } from '../../src/svid/index.js'
import { loadOwn, now, other, td, uris, verify, verifyLeaf } from './fixtures.js'
import { testSection } from './row.js'
import { spiffeIdSection } from './spiffe-id-rows.js'

const badId = 'ERR_SPIFFE_ID_INVALID'
const noSvid = 'ERR_X509_SVID_MALFORMED'

function show(text: string): string {
  return text.length > 60 ? `${text.slice(0, 30)}… of ${text.length} characters` : JSON.stringify(text)
}

/** Proves a leaf with this URI, issued by a trust domain of that very name. */
function verifyNamed(trustDomain: string, uri: string): void {
  const domain = new TestTrustDomain(trustDomain, { now })
  const verified = verifyX509Svid([domain.leaf(uris(uri)).der], new X509BundleSet([domain.bundle()]), { now })
  expect(verified.id.toString()).toBe(uri)
  expect(verified.id.trustDomain.name).toBe(trustDomain)
}

testSection(spiffeIdSection, (row) => {
  const takes = (id: string, ...texts: readonly string[]) => {
    for (const text of texts) {
      row(id).accepts(show(text), () => {
        const parsed = SpiffeId.parse(text)
        expect(parsed.toString()).toBe(text)
        expect(parsed.trustDomain.idString + parsed.path).toBe(text)
        expect(SpiffeId.parseBytes(Buffer.from(text)).equals(parsed)).toBe(true)
      })
    }
  }
  /** As text, as octets, and as the only name of an otherwise good certificate. */
  const refuses = (id: string, ...texts: readonly string[]) => {
    for (const text of texts) {
      row(id)
        .refuses(show(text), badId, () => SpiffeId.parse(text))
        .refuses(`${show(text)} as octets`, badId, () => SpiffeId.parseBytes(Buffer.from(text)))
        .refuses(`${show(text)} in a certificate`, noSvid, () => verifyLeaf(uris(text)))
    }
  }

  takes('ID-01', 'spiffe://td/w')
  refuses('ID-01', 'http://td/w', 'spiffe:td/w', 'spiffe:/td/w', '//td/w')
  takes('ID-02', 'spiffe://td')
  refuses('ID-02', 'spiffe://', 'spiffe:///w')
  takes('ID-03', 'spiffe://td/w')
  refuses('ID-03', 'spiffe://td/w?a=1', 'spiffe://td/w?', 'spiffe://td?a')
  takes('ID-04', 'spiffe://td/w')
  refuses('ID-04', 'spiffe://td/w#f', 'spiffe://td/w#', 'spiffe://td#')
  takes('ID-05', 'spiffe://td/w')
  refuses('ID-05', 'spiffe://u@td/w', 'spiffe://u:p@td/w', 'spiffe://@td/w')
  takes('ID-06', 'spiffe://td/w')
  refuses('ID-06', 'spiffe://td:8080/w', 'spiffe://td:/w')
  takes('ID-07', 'spiffe://td/w')
  refuses('ID-07', 'spiffe://TD/w', 'spiffe://tD/w')
  takes('ID-08', 'spiffe://a_b-c.d1/w')
  refuses('ID-08', 'spiffe://t~d/w', 'spiffe://t*d/w', 'spiffe://[::1]/w')
  row('ID-08').refuses('"spiffe://tü/w"', badId, () => SpiffeId.parse('spiffe://tü/w'))
  takes('ID-09', 'spiffe://td/w')
  refuses('ID-09', 'spiffe://t%64/w')

  for (const name of ['1.2.3.4', '256.1.1.1', '-a-', '_', 'a..b', 'a.', '.a', '-']) {
    takes('ID-10', `spiffe://${name}/w`)
    row('ID-10').accepts(`a certificate of ${name}`, () => verifyNamed(name, `spiffe://${name}/w`))
  }
  row('ID-10')
    .denies('a. for a', () => SpiffeId.parse('spiffe://a./w').isMemberOf(TrustDomain.parse('a')))
    .denies('1.2.3.4 for 01.2.3.4', () => TrustDomain.parse('01.2.3.4').equals(TrustDomain.parse('1.2.3.4')))

  takes('ID-11', `spiffe://${'a'.repeat(255)}/w`)
  refuses('ID-11', `spiffe://${'a'.repeat(256)}/w`)
  takes('ID-12', 'spiffe://td/w')
  refuses('ID-12', 'spiffe://td/%77', 'spiffe://td/a%2Fb')
  takes('ID-13', 'spiffe://td/a/b')
  refuses('ID-13', 'spiffe://td//w', 'spiffe://td/a//b', 'spiffe://td//')
  takes('ID-14', 'spiffe://td/...', 'spiffe://td/.w', 'spiffe://td/w.', 'spiffe://td/..w', 'spiffe://td/..a/b')
  refuses('ID-14', 'spiffe://td/.', 'spiffe://td/..', 'spiffe://td/a/./b', 'spiffe://td/a/../b', 'spiffe://td/../a')
  takes('ID-15', 'spiffe://td')
  refuses('ID-15', 'spiffe://td/', 'spiffe://td/w/')
  takes('ID-16', 'spiffe://td/Aa0.-_')
  refuses('ID-16', 'spiffe://td/a~b', 'spiffe://td/a:b', 'spiffe://td/a@b', 'spiffe://td/a+b', 'spiffe://td/a b')
  refuses('ID-16', 'spiffe://td/*', 'spiffe://td/a\\b')
  row('ID-16').refuses('"spiffe://td/ü"', badId, () => SpiffeId.parse('spiffe://td/ü'))
  takes('ID-17', 'spiffe://td', 'spiffe://td/a/b/c')
  row('ID-17').refuses('a path without its slash', badId, () => SpiffeId.fromPath(td.trustDomain, 'a/b'))

  const longest = `spiffe://td/${'a'.repeat(2048 - 'spiffe://td/'.length)}`
  takes('ID-18', longest)
  row('ID-18')
    .accepts('a certificate with an ID of 2048 bytes', () => verifyNamed('td', longest))
    .accepts('building an ID of 2048 bytes', () => {
      expect(SpiffeId.fromPath(td.trustDomain, longest.slice('spiffe://td'.length)).toString()).toHaveLength(2048)
    })
    .refuses('building one byte more', badId, () => SpiffeId.parse(longest).append('/'.concat('a')))
    .refuses('parsing without bound', badId, () => SpiffeId.parse(`spiffe://td/${'a'.repeat(8192)}`))

  row('ID-19')
    .accepts('building an ID of 2048 bytes', () => {
      expect(SpiffeId.parse('spiffe://td').withPath(longest.slice('spiffe://td'.length)).toString()).toBe(longest)
    })
    .refuses('one byte more, as a path', badId, () => SpiffeId.fromPath(td.trustDomain, `${longest.slice(11)}a`))
    .refuses('one byte more, as segments', badId, () => SpiffeId.fromSegments(td.trustDomain, `${longest.slice(12)}a`))
    .refuses('one byte more, in place of another path', badId, () =>
      SpiffeId.parse('spiffe://td/w').withPath(`${longest.slice(11)}a`),
    )

  row('ID-20')
    .accepts('the same text', () => {
      expect(SpiffeId.parse('spiffe://td/W').equals(SpiffeId.parse('spiffe://td/W'))).toBe(true)
    })
    .denies('another case of the path', () => SpiffeId.parse('spiffe://td/W').equals(SpiffeId.parse('spiffe://td/w')))
  takes('ID-21', 'spiffe://td/w')
  refuses('ID-21', 'SPIFFE://td/w', 'Spiffe://td/w', 'spiffe://TD/w')
  takes('ID-22', 'spiffe://td/w')
  refuses('ID-22', ' spiffe://td/w', 'spiffe://td/w ', 'spiffe://td/w\n', 'spiffe://td/\u0000', 'spiffe://td\u0000/w')
  row('ID-22').refuses('a letter that only looks like ASCII', badId, () => SpiffeId.parse('spiffe://td/\u0430'))

  row('ID-23')
    .accepts('an X.509 certificate', () => verifyLeaf())
    .refuses('an unsigned JSON document', noSvid, () =>
      verifyX509Svid([Buffer.from('{"sub":"spiffe://td/w"}')], new X509BundleSet([td.bundle()]), { now }),
    )
  row('ID-24')
    .accepts('a leaf of the trust domain that signed it', () => verifyLeaf())
    .refuses(
      'a leaf that names another trust domain than its signer, both bundles known',
      'ERR_X509_CHAIN_UNTRUSTED',
      () => verify(td.leaf(uris('spiffe://other/w'))),
    )
    .refuses('a leaf that names a trust domain without a bundle', 'ERR_BUNDLE_NOT_FOUND', () =>
      verify(td.leaf(uris('spiffe://third/w'))),
    )
  row('ID-25')
    .accepts('the ID inside the signature', () => {
      expect(verifyLeaf(uris('spiffe://td/inside')).id.path).toBe('/inside')
    })
    .refuses('an ID that was written into the certificate after it was signed', 'ERR_X509_CHAIN_UNTRUSTED', () => {
      const text = Buffer.from(td.leaf(uris('spiffe://td/aaaa')).der).toString('latin1')
      const forged = Buffer.from(text.replace('spiffe://td/aaaa', 'spiffe://td/root'), 'latin1')
      return verifyX509Svid([forged], new X509BundleSet([td.bundle()]), { now })
    })
  row('ID-28')
    .accepts('an extension that nobody knows', () => {
      const extension = { id: '1.3.6.1.4.1.99999.1', value: Buffer.from('0500', 'hex') }
      verifyLeaf({ extensions: [extension] })
      loadOwn(td.leaf({ extensions: [extension] }))
    })
    .refuses('the same extension when it is critical', 'ERR_X509_CHAIN_UNSUPPORTED', () =>
      verifyLeaf({ extensions: [{ id: '1.3.6.1.4.1.99999.1', critical: true, value: Buffer.from('0500', 'hex') }] }),
    )
  row('ID-29')
    .accepts('a proof, which carries its trust domain', () => {
      expect(verifyLeaf().id.trustDomain.name).toBe('td')
      expect(loadOwn(td.leaf())).toBeInstanceOf(X509Svid)
    })
    .denies('the same path in another trust domain', () => {
      const mine = verify(td.leaf()).id
      const theirs = verify(other.leaf()).id
      expect(mine.path).toBe(theirs.path)
      return mine.equals(theirs)
    })
})
