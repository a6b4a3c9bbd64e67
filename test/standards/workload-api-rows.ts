import type { Section } from './row.js'

export const workloadEndpointSection: Section = {
  title: 'Workload Endpoint',
  document: 'https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md',
  rows: [
    { id: 'WEP-02', level: 'MUST', clause: '3', does: 'The endpoint is asked by gRPC over plaintext HTTP/2.' },
    {
      id: 'WEP-05',
      level: 'MUST',
      clause: '3',
      does: 'Every request carries the metadata `workload.spiffe.io: true`, exactly once.',
    },
    { id: 'WEP-08', level: 'MUST', clause: '3.1', does: 'No TLS is used, over Unix sockets and over TCP.' },
    {
      id: 'WEP-09',
      level: 'MUST',
      clause: '4',
      does: 'Without an address of its own, the client uses `SPIFFE_ENDPOINT_SOCKET`.',
      choice:
        'Where that is not set either, the client says so; it guesses no path. Only `QuickStartSVID` has a default.',
    },
    { id: 'WEP-10', level: 'MAY', clause: '4', does: 'An address that is given wins over the environment.' },
    { id: 'WEP-11', level: 'MUST', clause: '4', does: 'The scheme of an address is `unix` or `tcp`.' },
    {
      id: 'WEP-12',
      level: 'MUST',
      clause: '4',
      does: 'A unix address has no authority.',
      choice: 'Both `unix:/path` and `unix:///path` say so, and both are taken.',
    },
    {
      id: 'WEP-13',
      level: 'MUST',
      clause: '4',
      does: 'A unix address has an absolute path.',
      choice:
        'Escapes are decoded; dots stay. A directory, a path that starts with two slashes, and one longer than a socket address holds are refused.',
    },
    { id: 'WEP-14', level: 'stated', clause: '4', does: 'A unix address has nothing else, not even an empty query.' },
    { id: 'WEP-15', level: 'MUST', clause: '4', does: 'The host of a tcp address is an IP address.' },
    { id: 'WEP-16', level: 'MUST', clause: '4', does: 'A tcp address has a port from 1 to 65535.' },
    { id: 'WEP-17', level: 'stated', clause: '4', does: 'A tcp address has nothing else, not even a slash.' },
    { id: 'WEP-21', level: 'SHOULD', clause: '6, App. A', does: 'INVALID_ARGUMENT ends a watch; it is not repeated.' },
    {
      id: 'WEP-23',
      level: 'MAY',
      clause: '6, App. A',
      does: 'UNAVAILABLE and a missing socket are tried again, with growing delays.',
    },
    { id: 'WEP-25', level: 'MAY', clause: '6, App. A', does: 'PERMISSION_DENIED is tried again, with growing delays.' },
    {
      id: 'WEP-26',
      level: 'stated',
      clause: 'App. A',
      does: 'UNIMPLEMENTED ends a watch; it is not repeated.',
      choice: 'For FetchX509SVID the other dialect is tried once first.',
    },
    { id: 'WEP-30', level: 'SHOULD', clause: '7', does: 'Nothing but the Workload API is asked for; no reflection.' },
  ],
  elsewhere: [
    {
      ids: [
        ...['WEP-01', 'WEP-03', 'WEP-04', 'WEP-06', 'WEP-07', 'WEP-18', 'WEP-19'],
        ...['WEP-20', 'WEP-22', 'WEP-24', 'WEP-27', 'WEP-28', 'WEP-29'],
      ],
      why: 'They bind whoever serves the endpoint; the dev agent meets them, with tests in `test/dev`.',
      tests: 'test/dev',
    },
  ],
}

export const workloadApiSection: Section = {
  title: 'Workload API',
  document: 'https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md',
  rows: [
    { id: 'WAPI-01', level: 'MUST', clause: '1', does: 'The X.509-SVID and JWT-SVID profiles are there.' },
    { id: 'WAPI-04', level: 'stated', clause: '3', does: 'The paths on the wire have no package.' },
    { id: 'WAPI-05', level: 'SHOULD', clause: '4.2', does: 'One stream stays open and brings every update.' },
    {
      id: 'WAPI-06',
      level: 'SHOULD',
      clause: '4.2',
      does: 'A stream that the server ends is opened again at once.',
      choice: 'At once not more often than every second: an agent that sends and hangs up does not set the pace.',
    },
    {
      id: 'WAPI-10',
      level: 'MUST',
      clause: '4.4',
      does: 'A message stands for the whole state; nothing of an earlier one is kept.',
    },
    { id: 'WAPI-11', level: 'SHOULD', clause: '4.4', does: 'What a later message leaves out is no longer used.' },
    {
      id: 'WAPI-13',
      level: 'SHOULD',
      clause: '4.5',
      does: 'A message that lacks a mandatory field is reported and discarded; the earlier state and the stream stay.',
    },
    {
      id: 'WAPI-14',
      level: 'stated',
      clause: '4.6',
      does: 'A peer is judged by the bundle of its own trust domain, as the agent sent it; without one it is refused.',
    },
    {
      id: 'WAPI-16',
      level: 'MUST',
      clause: '5.2',
      does: 'X.509 bundles serve X509-SVIDs only; they have a type of their own.',
    },
    { id: 'WAPI-17', level: 'stated', clause: '5.1', does: 'Certificates come as concatenated DER, leaf first.' },
    { id: 'WAPI-18', level: 'MUST', clause: '5.1', does: 'Keys come as unencrypted PKCS#8 in DER.' },
    {
      id: 'WAPI-19',
      level: 'stated',
      clause: '5.1',
      does: 'Bundles come as concatenated DER.',
      choice:
        'No bytes for a federated trust domain are an empty bundle; no bytes for the own one refuse the message. A ' +
        'federated bundle that cannot be read, holds no authority where one should be, or is over-large is that of ' +
        'another operator, who must not stop our rotation: it counts as empty, with a warning. An own bundle of that kind ' +
        'refuses the message. FetchX509Bundles and FetchJWTBundles do not say which bundle is the own one: there the ' +
        'message is refused when no bundle of it can be used.',
    },
    {
      id: 'WAPI-20',
      level: 'stated',
      clause: '5.1',
      does: 'Bundles are keyed by the SPIFFE ID of the trust domain.',
      choice: 'The bare name is taken too. Two keys of one trust domain refuse the message.',
    },
    { id: 'WAPI-21', level: 'stated', clause: '5.1', does: 'Revocation lists are kept with the bundles.' },
    {
      id: 'WAPI-23',
      level: 'SHOULD',
      clause: '5.2.1',
      does: 'Of several SVIDs with one hint the first is used; empty hints do not clash.',
    },
    {
      id: 'WAPI-25',
      level: 'MAY',
      clause: '5.2.1',
      does: 'After PERMISSION_DENIED the stream is opened again, with delays.',
    },
    {
      id: 'WAPI-26',
      level: 'SHOULD',
      clause: '5.2.1',
      does: 'SVIDs that a message leaves out, and all after PERMISSION_DENIED, are no longer used.',
      choice: 'An ICP agent answers every fault with that code; there the SVID stays until it expires.',
    },
    {
      id: 'WAPI-29',
      level: 'SHOULD',
      clause: '5.2.2',
      does: 'X.509 bundles that a message leaves out, and all after PERMISSION_DENIED, are no longer used.',
      choice: 'An ICP agent answers every fault with that code; there the bundles stay.',
    },
    { id: 'WAPI-30', level: 'MUST', clause: '6.2.1', does: 'Every audience that was asked for is in the token.' },
    {
      id: 'WAPI-35',
      level: 'stated',
      clause: '6.1',
      does: 'A token is of the SPIFFE ID that was announced and asked for, and not expired.',
    },
    {
      id: 'WAPI-38',
      level: 'stated',
      clause: '6.2.2',
      does: 'JWT keys without `use` are taken, those with another use are left out.',
    },
    {
      id: 'WAPI-39',
      level: 'MUST',
      clause: '6.2.2',
      does: 'JWT bundles serve JWT-SVIDs only; they have a type of their own.',
    },
    {
      id: 'WAPI-41',
      level: 'SHOULD',
      clause: '6.2.2',
      does: 'JWT bundles that a message leaves out, and all after PERMISSION_DENIED, are no longer used.',
      choice: 'As with X.509 bundles, not where an ICP agent denies.',
    },
    { id: 'WAPI-44', level: 'stated', clause: '6.2.3', does: 'An answer without SPIFFE ID or claims is discarded.' },
    {
      id: 'WAPI-45',
      level: 'SHOULD',
      clause: '6.3',
      does: 'The agent can be asked to validate; its answer counts, not the token.',
    },
    { id: 'WAPI-53', level: 'stated', clause: '8', does: 'The first SVID is the default one; the order stays.' },
    {
      id: 'WAPI-54',
      level: 'SHOULD',
      clause: '8',
      does: 'A hint of up to 1024 bytes is kept.',
      choice: 'A longer one counts as none, with a warning.',
    },
    {
      id: 'WAPI-55',
      level: 'stated',
      clause: '8',
      does: 'Who asks for a hint that is not there gets an error, never another SVID.',
    },
    { id: 'WAPI-56', level: 'stated', clause: '5.1', does: 'The announced SPIFFE ID is that of the certificate.' },
    {
      id: 'WAPI-57',
      level: 'stated',
      clause: '4.4, 4.6',
      does: 'Nothing replaces the bundle that came with the own SVID.',
      choice:
        'A federated bundle of the own trust domain, and another own bundle of a later SVID, are passed over with a warning.',
    },
  ],
  elsewhere: [
    {
      ids: [
        ...['WAPI-02', 'WAPI-03', 'WAPI-07', 'WAPI-08', 'WAPI-09', 'WAPI-12', 'WAPI-15'],
        ...['WAPI-22', 'WAPI-24', 'WAPI-27', 'WAPI-28', 'WAPI-31', 'WAPI-32', 'WAPI-33'],
        ...['WAPI-34', 'WAPI-36', 'WAPI-37', 'WAPI-40', 'WAPI-42', 'WAPI-43', 'WAPI-47'],
      ],
      why: 'They bind whoever serves the API; the dev agent meets them, with tests in `test/dev`. WAPI-46 is above, with the JWT-SVIDs.',
      tests: 'test/dev',
    },
    {
      ids: ['WAPI-48', 'WAPI-49', 'WAPI-50', 'WAPI-51', 'WAPI-52'],
      why: 'They are about WIT-SVIDs, an incubating profile. Neither the client nor the dev agent offers it: the client never asks for them (WAPI-04 has every path), and the agent answers UNIMPLEMENTED (WAPI-02, WAPI-47).',
    },
  ],
}
