import { describe, expect, test } from 'vitest'
import { parseEndpoint, resolveEndpoint } from '../../src/workload-api/endpoint.js'

const throwsCode = (run: () => unknown, code: string) => expect(run).toThrow(expect.objectContaining({ code }))

describe('parseEndpoint takes', () => {
  for (const [text, expected] of [
    ['unix:///run/spire/agent.sock', { kind: 'unix', path: '/run/spire/agent.sock' }],
    ['unix:/run/spire/agent.sock', { kind: 'unix', path: '/run/spire/agent.sock' }],
    ['unix:///a%20b.sock', { kind: 'unix', path: '/a b.sock' }],
    ['unix:///a/../b.sock', { kind: 'unix', path: '/a/../b.sock' }],
    ['UNIX:///a.sock', { kind: 'unix', path: '/a.sock' }],
    ['unix:///%C3%BC.sock', { kind: 'unix', path: '/ü.sock' }],
    ['tcp://127.0.0.1:8000', { kind: 'tcp', host: '127.0.0.1', port: 8000 }],
    ['tcp://[::1]:8000', { kind: 'tcp', host: '::1', port: 8000 }],
    ['TCP://1.2.3.4:5', { kind: 'tcp', host: '1.2.3.4', port: 5 }],
    ['tcp://1.2.3.4:65535', { kind: 'tcp', host: '1.2.3.4', port: 65535 }],
  ] as const)
    test(text, () => {
      expect(parseEndpoint(text)).toEqual({ ...expected, text })
    })
})

describe('parseEndpoint refuses', () => {
  for (const [reason, text] of [
    ['an empty text', ''],
    ['a plain path', '/run/a.sock'],
    ['another scheme', 'http://1.2.3.4:5'],
    ['https', 'https://1.2.3.4:5'],
    ['a Windows pipe', 'npipe:spire-agent\\public\\api'],
    ['a control character', '\t'],
    ['a word', 'blah'],
    ['surrounding white space', ' unix:///a.sock'],
    ['unix: a path without slash', 'unix:opaque'],
    ['unix: a relative path', 'unix:run/a.sock'],
    ['unix: nothing', 'unix:'],
    ['unix: no path', 'unix://'],
    ['unix: the root', 'unix:///'],
    ['unix: the root, short', 'unix:/'],
    ['unix: a directory', 'unix:///run/'],
    ['unix: two slashes at the start of the path', 'unix:////a.sock'],
    ['unix: two slashes at the start of the path, one of them escaped', 'unix:/%2Frun/a.sock'],
    ['unix: a host', 'unix://run/a.sock'],
    ['unix: localhost', 'unix://localhost/a.sock'],
    ['unix: a user', 'unix://john:doe@foo/path'],
    ['unix: a query', 'unix:///a.sock?x'],
    ['unix: an empty query', 'unix:///a.sock?'],
    ['unix: a fragment', 'unix:///a.sock#f'],
    ['unix: an empty fragment', 'unix:///a.sock#'],
    ['unix: a host and a query', 'unix://foo?whatever'],
    ['unix: a space', 'unix:///a b.sock'],
    ['unix: a letter outside ASCII', 'unix:///ü.sock'],
    ['unix: a line break', 'unix:///a.sock\n'],
    ['unix: a broken escape', 'unix:///a%2.sock'],
    ['unix: an escape that is not UTF-8', 'unix:///a%ff.sock'],
    ['unix: a zero byte', 'unix:///a%00.sock'],
    ['unix: a path that does not fit a socket address', `unix:///${'a'.repeat(120)}`],
    ['tcp: no address', 'tcp:opaque'],
    ['tcp: nothing', 'tcp://'],
    ['tcp: a name', 'tcp://localhost:8000'],
    ['tcp: an address out of range', 'tcp://256.1.1.1:5'],
    ['tcp: a leading zero', 'tcp://01.2.3.4:5'],
    ['tcp: IPv6 without brackets', 'tcp://::1:5'],
    ['tcp: IPv4 in brackets', 'tcp://[127.0.0.1]:5'],
    ['tcp: a zone', 'tcp://[fe80::1%25eth0]:5'],
    ['tcp: no port', 'tcp://1.2.3.4'],
    ['tcp: an empty port', 'tcp://1.2.3.4:'],
    ['tcp: port 0', 'tcp://1.2.3.4:0'],
    ['tcp: port 65536', 'tcp://1.2.3.4:65536'],
    ['tcp: a port that is a word', 'tcp://1.2.3.4:abc'],
    ['tcp: a port with a line break', 'tcp://1.2.3.4:5\n'],
    ['tcp: a bare slash', 'tcp://1.2.3.4:5/'],
    ['tcp: a path', 'tcp://1.2.3.4:5/path'],
    ['tcp: an empty query', 'tcp://1.2.3.4:5?'],
    ['tcp: an empty fragment', 'tcp://1.2.3.4:5#'],
    ['tcp: a user', 'tcp://john:doe@1.2.3.4:5'],
    ['tcp: an empty user', 'tcp://@1.2.3.4:5'],
  ] as const)
    test(reason, () => {
      throwsCode(() => parseEndpoint(text), 'ERR_ENDPOINT_INVALID')
    })

  test('with a message that says what is allowed', () => {
    expect(() => parseEndpoint('http://1.2.3.4:5')).toThrow(/unix:\/\/\/absolute.*tcp:\/\/IP:PORT/)
  })
})

describe('resolveEndpoint', () => {
  test('takes the variable when no option is given', () => {
    expect(resolveEndpoint(undefined, { SPIFFE_ENDPOINT_SOCKET: 'unix:///a.sock' })).toMatchObject({ path: '/a.sock' })
  })
  test('lets the option win over the variable', () => {
    expect(resolveEndpoint('unix:///b.sock', { SPIFFE_ENDPOINT_SOCKET: 'unix:///a.sock' })).toMatchObject({
      path: '/b.sock',
    })
  })
  test('guesses nothing when neither is set', () => {
    throwsCode(() => resolveEndpoint(undefined, {}), 'ERR_ENDPOINT_NOT_CONFIGURED')
    throwsCode(() => resolveEndpoint(undefined, { SPIFFE_ENDPOINT_SOCKET: '' }), 'ERR_ENDPOINT_NOT_CONFIGURED')
  })
  test('refuses an empty option instead of passing it over', () => {
    throwsCode(() => resolveEndpoint('', { SPIFFE_ENDPOINT_SOCKET: 'unix:///a.sock' }), 'ERR_ENDPOINT_INVALID')
  })
})
