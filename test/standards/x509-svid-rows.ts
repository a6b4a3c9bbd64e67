import type { Section } from './row.js'

export const x509SvidSection: Section = {
  title: 'X509-SVID',
  document: 'https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md',
  rows: [
    { id: 'X509-01', level: 'MUST', clause: '2', does: 'A leaf has exactly one URI name, which is its SPIFFE ID.' },
    {
      id: 'X509-02',
      level: 'MUST',
      clause: '2, 5.2',
      does: 'A second URI name refuses the leaf, also when it is no SPIFFE ID or the same one again.',
    },
    { id: 'X509-03', level: 'MAY', clause: '2', does: 'Names of other kinds beside the URI do not matter.' },
    {
      id: 'X509-04',
      level: 'MUST',
      clause: '3.1, 5.2',
      does: 'The SPIFFE ID of a leaf has a path, for the own SVID and for peers.',
    },
    {
      id: 'X509-06',
      level: 'SHOULD',
      clause: '3.2',
      does: 'A signing certificate may be an SVID itself; one without a SPIFFE ID is as good.',
      choice:
        'Two URI names on a signing certificate, or a URI that starts with `spiffe:` and is no SPIFFE ID, refuse it; ' +
        'a URI of another scheme makes it an ordinary CA.',
    },
    {
      id: 'X509-07',
      level: 'MUST',
      clause: '3.2',
      does: 'The SPIFFE ID of a signing certificate has no path.',
      choice: 'The text binds the issuer; a validator refuses such a certificate too, in chains and in bundles.',
    },
    {
      id: 'X509-09',
      level: 'MAY',
      clause: '3.2',
      does: 'A signing certificate may be of another trust domain: what counts is the authority at the end of the path.',
    },
    { id: 'X509-10', level: 'MUST', clause: '3.2, 5.2', does: 'A signing certificate never authenticates a peer.' },
    {
      id: 'X509-11',
      level: 'MUST',
      clause: '4.1, 5.2',
      does: 'The leaf is no CA.',
      choice: 'A leaf without basicConstraints is no CA either and is accepted; `issuerFaults` reports it.',
    },
    {
      id: 'X509-12',
      level: 'MUST',
      clause: '4.1',
      does: 'Every other certificate of the path is a CA, authorities included.',
    },
    {
      id: 'X509-13',
      level: 'MAY',
      clause: '4.1, 5.1',
      does: 'pathLenConstraint is enforced, on authorities too. Self-issued intermediates do not count (RFC 5280 §6.1.4).',
    },
    {
      id: 'X509-14',
      level: 'MAY',
      clause: '4.2, 5.1',
      does: 'Name constraints on URIs and DNS names are enforced as RFC 5280 §4.2.1.10 says.',
      choice:
        'A certificate that carries a name of another constrained form is refused. A DNS constraint also binds a common ' +
        'name of the leaf that reads as a host name, where the leaf has no DNS name.',
    },
    {
      id: 'X509-16',
      level: 'MUST',
      clause: '4.3',
      does: 'keyUsage is expected to be critical.',
      choice:
        'The text binds the issuer. A leaf whose keyUsage is not critical is accepted; `issuerFaults` reports it.',
    },
    {
      id: 'X509-17',
      level: 'MUST',
      clause: '4.3',
      does: 'A signing certificate has keyCertSign.',
      choice:
        'An intermediate without keyUsage is refused. An authority without it is accepted: it is trusted by ' +
        'configuration, and many private roots have none.',
    },
    {
      id: 'X509-19',
      level: 'MUST',
      clause: '4.3',
      does: 'The leaf has digitalSignature.',
      choice: 'The list of section 5.2 leaves it out; it is demanded of peers as of the own SVID, and so is keyUsage.',
    },
    { id: 'X509-20', level: 'MAY', clause: '4.3', does: 'The leaf may have keyEncipherment and keyAgreement.' },
    { id: 'X509-21', level: 'MUST', clause: '4.3, 5.2', does: 'The leaf has neither keyCertSign nor cRLSign.' },
    { id: 'X509-22', level: 'SHOULD', clause: '4.4', does: 'A leaf without extKeyUsage is accepted.' },
    { id: 'X509-23', level: 'MAY', clause: '4.4', does: 'extKeyUsage may be critical.' },
    {
      id: 'X509-24',
      level: 'MUST',
      clause: '4.4',
      does: 'Where extKeyUsage is present it has to leave room for TLS.',
      choice:
        'The text wants both purposes of the issuer and nothing of the validator. One of the two is enough, unless the ' +
        'caller asks for a purpose; anyExtendedKeyUsage alone is none. `issuerFaults` reports a missing one.',
    },
    {
      id: 'X509-25',
      level: 'MAY',
      clause: '4.4',
      does: 'extKeyUsage of signing certificates narrows what the leaf may be used for.',
    },
    {
      id: 'X509-27',
      level: 'MUST',
      clause: '5.1',
      does: 'Every link of the path holds by name, key identifier and signature. A revoked certificate is on no path.',
      choice:
        'A certificate that names itself as its issuer (name and key identifiers) ends a path, as in OpenSSL. Revocation ' +
        'lists only ever take trust away: one past its nextUpdate still refuses what it names; one that is malformed, of ' +
        'an unknown kind or not signed by its issuer revokes nothing, leaves the bundle usable and is told by ' +
        '`X509Bundle.crlFaults`. No list at all refuses nobody.',
    },
    {
      id: 'X509-28',
      level: 'MUST',
      clause: '5.1',
      does: 'Leaf, intermediates and authority are within their validity, without leeway; both ends belong to it.',
    },
    {
      id: 'X509-29',
      level: 'MUST',
      clause: '5.1',
      does: 'A critical extension that is not understood refuses the path; others are ignored.',
      choice: 'Policy extensions are among the unknown ones.',
    },
    { id: 'X509-30', level: 'MUST', clause: '5.1', does: 'Intermediates meet all rules of RFC 5280 together.' },
    {
      id: 'X509-31',
      level: 'RFC',
      clause: '5.1',
      does: 'The leaf is first; the order of the rest, repetitions and certificates without use do no harm.',
      choice: 'At most 32 certificates are read, a path has at most ten, and the work is counted.',
    },
    { id: 'X509-32', level: 'MUST', clause: '5.2', does: 'cA is false on the leaf of a peer.' },
    { id: 'X509-33', level: 'MUST', clause: '5.2', does: 'keyCertSign and cRLSign are off on the leaf of a peer.' },
    { id: 'X509-34', level: 'MUST', clause: '5.2', does: 'The scheme of the one URI is `spiffe`.' },
    {
      id: 'X509-35',
      level: 'stated',
      clause: '5.1',
      does: 'Authorities come from the bundle of the trust domain in the leaf, and from no other.',
    },
  ],
  elsewhere: [
    {
      ids: ['X509-05', 'X509-08', 'X509-15', 'X509-18', 'X509-26'],
      why: 'They bind whoever issues; the dev agent meets them, with tests in `test/dev`. X509-36 to X509-42 are below, with the bundles.',
      tests: 'test/dev',
    },
  ],
}
