import { expect } from 'vitest'
import { X509Bundle, X509BundleSet } from '../../src/bundle/index.js'
import { derName, TestTrustDomain, type TestCertificateOptions } from '../../src/dev/testing/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'
import { bundles, loadOwn, now, other, td, uris, verify, verifyBelow, verifyLeaf, verifyUnder } from './fixtures.js'
import { testSection, type RowTests } from './row.js'
import { x509SvidSection } from './x509-svid-rows.js'

const noSvid = 'ERR_X509_SVID_MALFORMED'
const untrusted = 'ERR_X509_CHAIN_UNTRUSTED'
const unsupported = 'ERR_X509_CHAIN_UNSUPPORTED'
const seconds = (count: number) => new Date(now.getTime() + count * 1000)

/** A leaf that is good, or bad, in the same way for its owner and for peers. */
function both(tests: RowTests) {
  return {
    take: (what: string, options: TestCertificateOptions = {}) =>
      tests
        .accepts(`${what}, of a peer`, () => verifyLeaf(options))
        .accepts(`${what}, own`, () => loadOwn(td.leaf(options))),
    refuse: (what: string, options: TestCertificateOptions) =>
      tests
        .refuses(`${what}, of a peer`, noSvid, () => verifyLeaf(options))
        .refuses(`${what}, own`, noSvid, () => loadOwn(td.leaf(options))),
  }
}

testSection(x509SvidSection, (row) => {
  const leaf = (id: string) => both(row(id))

  leaf('X509-01').take('one URI')
  leaf('X509-01').refuse('no names', { names: undefined })
  leaf('X509-01').refuse('only a DNS name', { names: { dnsNames: ['td'] } })
  leaf('X509-02').take('one URI')
  leaf('X509-02').refuse('another URI', uris('spiffe://td/w', 'https://x/'))
  leaf('X509-02').refuse('another URI first', uris('https://x/', 'spiffe://td/w'))
  leaf('X509-02').refuse('the same ID twice', uris('spiffe://td/w', 'spiffe://td/w'))
  const many = { uris: ['spiffe://td/w'], dnsNames: ['a', 'b'], emails: ['a@b'], ips: [Buffer.from([1, 2, 3, 4])] }
  leaf('X509-03').take('DNS, IP and mail names beside the URI', { names: many })
  row('X509-03').refuses('a SPIFFE ID in a DNS name', noSvid, () =>
    verifyLeaf({ names: { dnsNames: ['x, URI:spiffe://td/w'] } }),
  )
  leaf('X509-04').take('an ID with a path', uris('spiffe://td/w'))
  leaf('X509-04').refuse('an ID without a path', uris('spiffe://td'))

  row('X509-06')
    .accepts('a CA with the ID of the trust domain', () => verifyBelow({ names: { uris: ['spiffe://td'] } }))
    .accepts('a CA without an ID', () => verifyBelow({ names: undefined }))
    .accepts('an authority without an ID', () => verifyUnder({ names: undefined }))
    .accepts('a CA with a URI of another scheme', () => verifyBelow({ names: { uris: ['https://td/crl'] } }))
    .refuses('a CA with two URIs', untrusted, () => verifyBelow({ names: { uris: ['spiffe://td', 'https://x/'] } }))
    .refuses('a CA with a spiffe: URI that is no ID', untrusted, () =>
      verifyBelow({ names: { uris: ['spiffe://TD'] } }),
    )
  row('X509-07')
    .accepts('an ID without a path', () => verifyBelow({ names: { uris: ['spiffe://td'] } }))
    .refuses('a path on an intermediate', untrusted, () => verifyBelow({ names: { uris: ['spiffe://td/ca'] } }))
    .refuses('a path on an authority', 'ERR_BUNDLE_MALFORMED', () =>
      verifyUnder({ names: { uris: ['spiffe://td/ca'] } }),
    )
  row('X509-09')
    .accepts('an intermediate of another trust domain', () => verifyBelow({ names: { uris: ['spiffe://other'] } }))
    .refuses('the same without the authority', untrusted, () => {
      const intermediate = other.intermediate({ names: { uris: ['spiffe://td'] } })
      return verify(td.leaf({}, intermediate), intermediate)
    })
  const ca = { basicConstraints: { ca: true }, keyUsage: ['keyCertSign', 'cRLSign'] } as const
  leaf('X509-10').take('a leaf')
  leaf('X509-10').refuse('a CA with the ID of a workload', ca)
  row('X509-10').refuses('the authority itself', noSvid, () => verify(td.root))
  leaf('X509-11').take('cA false', { basicConstraints: { ca: false } })
  leaf('X509-11').take('no basicConstraints', { basicConstraints: null })
  leaf('X509-11').take('basicConstraints not critical', { basicConstraints: { ca: false, critical: false } })
  leaf('X509-11').refuse('cA true', { basicConstraints: { ca: true } })
  row('X509-12')
    .accepts('cA true', () => verifyBelow({}))
    .refuses('cA false', untrusted, () => verifyBelow({ basicConstraints: { ca: false } }))
    .refuses('no basicConstraints', untrusted, () => verifyBelow({ basicConstraints: null }))
    .refuses('an authority with cA false', 'ERR_BUNDLE_MALFORMED', () =>
      verifyUnder({ basicConstraints: { ca: false } }),
    )
    .refuses('an own chain with an intermediate that is no CA', noSvid, () => {
      const intermediate = td.intermediate({ basicConstraints: { ca: false } })
      return loadOwn(td.leaf({}, intermediate), intermediate)
    })
  row('X509-13')
    .accepts('pathLen 0 above a leaf', () => verifyUnder({ basicConstraints: { ca: true, pathLen: 0 } }))
    .accepts('pathLen 1 above one intermediate', () => verifyUnder({ basicConstraints: { ca: true, pathLen: 1 } }, 1))
    .accepts('pathLen 0 on the last intermediate', () => verifyBelow({ basicConstraints: { ca: true, pathLen: 0 } }))
    .accepts('a self-issued intermediate below pathLen 0, which does not count', () => {
      const domain = new TestTrustDomain('td', { now, root: { basicConstraints: { ca: true, pathLen: 0 } } })
      const rollover = domain.intermediate({ subject: domain.root.name })
      const chain = [domain.leaf({}, rollover).der, rollover.der]
      verifyX509Svid(chain, new X509BundleSet([domain.bundle()]), { now })
    })
    .refuses('pathLen 0 above an intermediate', untrusted, () =>
      verifyUnder({ basicConstraints: { ca: true, pathLen: 0 } }, 1),
    )
    .refuses('pathLen 1 above two intermediates', untrusted, () =>
      verifyUnder({ basicConstraints: { ca: true, pathLen: 1 } }, 2),
    )
    .refuses('pathLen on a certificate that is no CA', noSvid, () =>
      verifyLeaf({ basicConstraints: { ca: false, pathLen: 0 } }),
    )

  const permits = (...values: string[]) => ({ nameConstraints: { permitted: { uris: values } } })
  const excludes = (...values: string[]) => ({ nameConstraints: { excluded: { uris: values } } })
  row('X509-14')
    .accepts('a permitted host', () => verifyBelow(permits('td')))
    .accepts('one of several permitted hosts', () => verifyBelow(permits('other', 'TD')))
    .accepts('an excluded host that is another', () => verifyBelow(excludes('other')))
    .accepts('an excluded domain whose host itself it is not', () => verifyBelow(excludes('.td')))
    .accepts('a constraint of the authority that is met', () => verifyUnder(permits('td'), 1))
    .accepts('a constrained form that no certificate carries', () =>
      verifyBelow({ nameConstraints: { excluded: { ips: [Buffer.alloc(8)] } } }),
    )
    .refuses('a host that is not permitted', untrusted, () => verifyBelow(permits('other')))
    .refuses('a host that is excluded', untrusted, () => verifyBelow(excludes('td')))
    .refuses('a host that is permitted and excluded', untrusted, () =>
      verifyBelow({ nameConstraints: { permitted: { uris: ['td'] }, excluded: { uris: ['td'] } } }),
    )
    .refuses('a host where only names below it are permitted', untrusted, () => verifyBelow(permits('.td')))
    .refuses('a constraint that is not critical all the same', untrusted, () =>
      verifyBelow({ nameConstraints: { permitted: { uris: ['other'] }, critical: false } }),
    )
    .refuses('a constraint of the authority that is not met', untrusted, () => verifyUnder(permits('other'), 1))
    .refuses('an address where hosts are constrained', untrusted, () => {
      const domain = new TestTrustDomain('1.2.3.4', { now, root: permits('1.2.3.4') })
      return verifyX509Svid([domain.leaf().der], new X509BundleSet([domain.bundle()]), { now })
    })
    .refuses('a DNS name that is not permitted', untrusted, () => {
      const intermediate = td.intermediate({ nameConstraints: { permitted: { dnsNames: ['a.test'] } } })
      return verify(td.leaf({ names: { uris: ['spiffe://td/w'], dnsNames: ['b.test'] } }, intermediate), intermediate)
    })
    .refuses('a constrained form that is not judged', unsupported, () =>
      verifyBelow({ nameConstraints: { permitted: { directoryNames: [derName('x')] } } }),
    )

  row('X509-16')
    .accepts('a critical keyUsage', () => {
      expect(loadOwn(td.leaf()).issuerFaults).toEqual([])
    })
    .accepts('a keyUsage that is not critical', () => verifyLeaf({ keyUsageCritical: false }))
    .denies('it in silence', () => loadOwn(td.leaf({ keyUsageCritical: false })).issuerFaults.length === 0)
  row('X509-17')
    .accepts('keyCertSign', () => verifyBelow({ keyUsage: ['keyCertSign'] }))
    .accepts('an authority without keyUsage', () => verifyUnder({ keyUsage: null }))
    .refuses('an intermediate without keyCertSign', untrusted, () => verifyBelow({ keyUsage: ['cRLSign'] }))
    .refuses('an intermediate without keyUsage', untrusted, () => verifyBelow({ keyUsage: null }))
    .refuses('an authority without keyCertSign', 'ERR_BUNDLE_MALFORMED', () => verifyUnder({ keyUsage: ['cRLSign'] }))
  leaf('X509-19').take('digitalSignature')
  leaf('X509-19').refuse('keyEncipherment only', { keyUsage: ['keyEncipherment'] })
  leaf('X509-19').refuse('no keyUsage', { keyUsage: null })
  leaf('X509-20').take('all three', { keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'] })
  leaf('X509-20').refuse('the two without digitalSignature', { keyUsage: ['keyEncipherment', 'keyAgreement'] })
  leaf('X509-21').take('digitalSignature')
  leaf('X509-21').refuse('keyCertSign', { keyUsage: ['digitalSignature', 'keyCertSign'] })
  leaf('X509-21').refuse('cRLSign', { keyUsage: ['digitalSignature', 'cRLSign'] })

  leaf('X509-22').take('no extKeyUsage', { extKeyUsage: null })
  row('X509-22').denies('it in silence', () => loadOwn(td.leaf({ extKeyUsage: null })).issuerFaults.length === 0)
  leaf('X509-23').take('critical extKeyUsage', { extKeyUsageCritical: true })
  row('X509-23').refuses('critical extKeyUsage of something else', untrusted, () =>
    verifyLeaf({ extKeyUsage: ['codeSigning'], extKeyUsageCritical: true }),
  )
  const asked = (extKeyUsage: readonly string[], purpose?: 'serverAuth' | 'clientAuth') =>
    verifyX509Svid([td.leaf({ extKeyUsage }).der], bundles, { now, purpose })
  row('X509-24')
    .accepts('both, asked for one', () => {
      asked(['serverAuth', 'clientAuth'], 'serverAuth')
      asked(['serverAuth', 'clientAuth'], 'clientAuth')
    })
    .accepts('one, asked for none', () => asked(['clientAuth']))
    .accepts('one, asked for it', () => asked(['clientAuth'], 'clientAuth'))
    .refuses('one, asked for the other', untrusted, () => asked(['clientAuth'], 'serverAuth'))
    .refuses('anyExtendedKeyUsage alone', untrusted, () => asked(['any']))
    .refuses('another purpose alone', untrusted, () => asked(['codeSigning']))
    .denies(
      'one of the two in silence',
      () => loadOwn(td.leaf({ extKeyUsage: ['clientAuth'] })).issuerFaults.length === 0,
    )
  row('X509-25')
    .accepts('an intermediate with both', () => verifyBelow({ extKeyUsage: ['serverAuth', 'clientAuth'] }))
    .refuses('an intermediate for something else', untrusted, () => verifyBelow({ extKeyUsage: ['codeSigning'] }))
    .refuses('an intermediate with anyExtendedKeyUsage alone', untrusted, () => verifyBelow({ extKeyUsage: ['any'] }))
    .refuses('a leaf for clients below an intermediate for servers', untrusted, () => {
      const intermediate = td.intermediate({ extKeyUsage: ['serverAuth'] })
      return verify(td.leaf({ extKeyUsage: ['clientAuth'] }, intermediate), intermediate)
    })
    .refuses('an authority for something else', untrusted, () => verifyUnder({ extKeyUsage: ['codeSigning'] }))

  const intermediate = td.intermediate()
  const below = td.leaf({}, intermediate)
  const stranger = new TestTrustDomain('td', { now })
  row('X509-27')
    .accepts('leaf, intermediate and root', () => {
      expect(verify(below, intermediate).path).toHaveLength(3)
    })
    .accepts('an intermediate that is an authority itself', () => {
      const anchored = new X509BundleSet([td.bundle({ authorities: [intermediate] })])
      expect(verifyX509Svid([below.der], anchored, { now }).path).toHaveLength(2)
    })
    .refuses('a missing intermediate', untrusted, () => verify(below))
    .refuses('a leaf of another CA of the same name', untrusted, () => verify(stranger.leaf()))
    .refuses('a leaf of another CA of the same name and key identifier', untrusted, () =>
      verify(stranger.leaf({ authorityKeyId: td.root.keyId })),
    )
    .refuses('a signature with one bit changed', untrusted, () =>
      verifyLeaf({
        mangleSignature: (bytes) => Buffer.from(bytes.map((octet, at) => (at === 20 ? octet ^ 1 : octet))),
      }),
    )
    .refuses('an issuer name that the signer does not have', untrusted, () => verifyLeaf({ issuerName: derName('x') }))
    .refuses('a key identifier that the signer does not have', untrusted, () =>
      verifyLeaf({ authorityKeyId: Buffer.alloc(20) }),
    )
    .refuses('SHA-1', untrusted, () => verifyLeaf({ signature: 'sha1' }))
    .refuses('a revoked leaf', 'ERR_X509_SVID_REVOKED', () => {
      const revoked = td.leaf()
      const bundle = td.bundle({ crls: [td.root.issueCrl({ revoked: [revoked.serialNumber] })] })
      return verifyX509Svid([revoked.der], new X509BundleSet([bundle]), { now })
    })
  row('X509-28')
    .accepts('the first and the last second', () => {
      verifyLeaf({ notBefore: now })
      verifyLeaf({ notAfter: now })
    })
    .refuses('a leaf that expired five seconds ago', 'ERR_X509_SVID_EXPIRED', () =>
      verifyLeaf({ notAfter: seconds(-5) }),
    )
    .refuses('a leaf that expired one second ago', 'ERR_X509_SVID_EXPIRED', () => verifyLeaf({ notAfter: seconds(-1) }))
    .refuses('a leaf of the next minute', 'ERR_X509_SVID_NOT_YET_VALID', () => verifyLeaf({ notBefore: seconds(60) }))
    .refuses('an expired intermediate', 'ERR_X509_SVID_EXPIRED', () => verifyBelow({ notAfter: seconds(-1) }))
    .refuses('an intermediate of tomorrow', 'ERR_X509_SVID_NOT_YET_VALID', () => verifyBelow({ notBefore: seconds(1) }))
    .refuses('an expired authority', 'ERR_X509_SVID_EXPIRED', () => verifyUnder({ notAfter: seconds(-1) }))
    .refuses('an authority of tomorrow', 'ERR_X509_SVID_NOT_YET_VALID', () => verifyUnder({ notBefore: seconds(1) }))
    .refuses('a time that is none', 'ERR_INVALID_ARGUMENT', () =>
      verifyX509Svid([td.leaf().der], bundles, { now: new Date(NaN) }),
    )
  const unknown = (critical: boolean) => ({
    extensions: [{ id: '1.3.6.1.4.1.99999.1', critical, value: Buffer.from('0500', 'hex') }],
  })
  row('X509-29')
    .accepts('an unknown extension on a leaf', () => verifyLeaf(unknown(false)))
    .accepts('an unknown extension on an intermediate', () => verifyBelow(unknown(false)))
    .refuses('a critical one on a leaf', unsupported, () => verifyLeaf(unknown(true)))
    .refuses('a critical one on an intermediate', unsupported, () => verifyBelow(unknown(true)))
    .refuses('a critical one on an authority', unsupported, () => verifyUnder(unknown(true)))
    .refuses('a known one that occurs twice', noSvid, () =>
      verifyLeaf({ extensions: [{ id: '2.5.29.19', value: Buffer.from('3000', 'hex') }] }),
    )
  row('X509-30')
    .accepts('an intermediate that meets all of them', () =>
      verifyBelow({ basicConstraints: { ca: true, pathLen: 0 }, ...permits('td'), extKeyUsage: ['clientAuth'] }),
    )
    .refuses('an intermediate that breaks one of them', untrusted, () =>
      verifyBelow({ basicConstraints: { ca: true, pathLen: 0 }, ...permits('other'), extKeyUsage: ['clientAuth'] }),
    )
  row('X509-31')
    .accepts('the root behind the leaf', () => verify(td.leaf(), td.root))
    .accepts('an unrelated CA', () => verify(td.leaf(), other.root))
    .accepts('everything twice and in the wrong order', () => {
      verify(below, td.root, intermediate, other.root, intermediate, td.root)
    })
    .refuses('an intermediate first', noSvid, () => verify(intermediate, below))
    .refuses('more certificates than are read', untrusted, () =>
      verify(below, ...Array.from({ length: 32 }, () => intermediate)),
    )
  leaf('X509-32').take('cA false')
  leaf('X509-32').refuse('cA true', { basicConstraints: { ca: true } })
  leaf('X509-33').take('both bits off')
  leaf('X509-33').refuse('both bits on', { keyUsage: ['digitalSignature', 'keyCertSign', 'cRLSign'] })
  leaf('X509-34').take('spiffe')
  leaf('X509-34').refuse('a scheme that only looks like it', uris('sparfe://td/w'))
  leaf('X509-34').refuse('https', uris('https://td/w'))
  row('X509-35')
    .accepts('each leaf with its own bundle', () => {
      expect(verify(td.leaf()).id.trustDomain.name).toBe('td')
      expect(verify(other.leaf()).id.trustDomain.name).toBe('other')
    })
    .refuses('a leaf of other that td signed', untrusted, () => verify(td.leaf(uris('spiffe://other/w'))))
    .refuses('a leaf without a bundle for it', 'ERR_BUNDLE_NOT_FOUND', () =>
      verifyX509Svid([other.leaf().der], new X509BundleSet([td.bundle()]), { now }),
    )
    .refuses('a source that answers with another bundle', 'ERR_BUNDLE_NOT_FOUND', () =>
      verifyX509Svid([td.leaf(uris('spiffe://other/w')).der], { getX509Bundle: () => td.bundle() }, { now }),
    )
    .refuses('an empty bundle', untrusted, () => {
      const empty = X509Bundle.fromAuthorities(td.trustDomain, [])
      return verifyX509Svid([td.leaf().der], new X509BundleSet([empty]), { now })
    })
})
