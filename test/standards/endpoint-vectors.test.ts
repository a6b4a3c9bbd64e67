import { describe, expect, test } from 'vitest'
import { parseEndpoint, resolveEndpoint } from '../../src/workload-api/index.js'

const unix = (path: string) => ({ kind: 'unix', path })
const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port })

describe('endpoint addresses', () => {
  for (const [id, text, expected] of [
    ['C-001', 'unix:///run/spire/agent.sock', unix('/run/spire/agent.sock')],
    ['C-002', 'unix:/run/spire/agent.sock', unix('/run/spire/agent.sock')],
    ['C-004', 'unix:///a%20b.sock', unix('/a b.sock')],
    ['C-022', 'unix:///a/../b.sock', unix('/a/../b.sock')],
    ['C-023', 'tcp://127.0.0.1:8000', tcp('127.0.0.1', 8000)],
    ['C-025', 'tcp://[::1]:8000', tcp('::1', 8000)],
    ['C-028', 'TCP://1.2.3.4:5', tcp('1.2.3.4', 5)],
    ['C-041', 'tcp://1.2.3.4:65535', tcp('1.2.3.4', 65_535)],
  ] as const)
    test(`${id} ${text} is accepted`, () => expect(parseEndpoint(text)).toEqual({ ...expected, text }))

  for (const [id, text] of [
    ['C-005', 'unix:///a b.sock'],
    ['C-007', 'unix:opaque'],
    ['C-008', 'unix:run/a.sock'],
    ['C-010', 'unix://'],
    ['C-011', 'unix:///'],
    ['C-011', 'unix:/'],
    ['C-013', 'unix://run/a.sock'],
    ['C-014', 'unix://localhost/a.sock'],
    ['C-016', 'unix://john:doe@foo/path'],
    ['C-017', 'unix://foo?whatever'],
    ['C-019', 'unix:///a.sock?'],
    ['C-020', 'unix://foo#whatever'],
    ['C-026', 'tcp://::1:5'],
    ['C-029', 'tcp:opaque'],
    ['C-031', 'tcp://'],
    ['C-032', 'tcp://foo'],
    ['C-034', 'tcp://256.1.1.1:5'],
    ['C-035', 'tcp://01.2.3.4:5'],
    ['C-037', 'tcp://1.2.3.4'],
    ['C-038', 'tcp://1.2.3.4:'],
    ['C-040', 'tcp://1.2.3.4:0'],
    ['C-043', 'tcp://1.2.3.4:5/'],
    ['C-044', 'tcp://1.2.3.4:5/path'],
    ['C-046', 'tcp://1.2.3.4:5?'],
    ['C-047', 'tcp://1.2.3.4:5#whatever'],
    ['C-049', 'tcp://john:doe@1.2.3.4:5/path'],
    ['C-050', 'tcp://@1.2.3.4:5'],
    ['C-052', '/run/a.sock'],
    ['C-053', '\t'],
    ['C-056', 'http://1.2.3.4:5'],
    ['C-056', 'https://1.2.3.4:5'],
    // Named pipes are an extension of go-spiffe; our choice is not to follow it.
    ['C-058', 'npipe:spire-agent\\public\\api'],
    ['C-059', 'npipe:'],
    ['C-059', 'npipe://foo'],
    ['C-059', 'npipe:p?q'],
    ['C-059', 'npipe:p#f'],
  ] as const)
    test(`${id} ${JSON.stringify(text)} is refused`, () =>
      expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ code: 'ERR_ENDPOINT_INVALID' })))

  test('C-055 neither the variable nor an option is refused, and no path is guessed', () =>
    expect(() => resolveEndpoint(undefined, {})).toThrow(
      expect.objectContaining({ code: 'ERR_ENDPOINT_NOT_CONFIGURED' }),
    ))
})
