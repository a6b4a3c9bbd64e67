import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCodes } from '../../src/errors/index.js'

test('docs/errors.md is the table of codes (write it anew with: npm run docs)', async () => {
  const rows = Object.entries(errorCodes).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`)
  const text = [
    '# Error codes',
    '',
    'Everything that this library throws on purpose is a `SpiffeError` with a stable `code`. The wording of a message may',
    'change with any release; a code does not. `cause` keeps what lay underneath.',
    '',
    '| class | what to do |',
    '|---|---|',
    '| `InvalidInputError` | Mend the call: an option, an argument or an environment variable is wrong. |',
    '| `InvalidMaterialError` | The issuer, the agent or a file delivered bytes that are not what they should be. |',
    '| `UntrustedPeerError` | Refuse the peer. The same bytes will not do better later. |',
    '| `WorkloadApiError` | The agent did not deliver: `endpoint` and `grpcStatus` say where and how it answered. |',
    '| `ClosedError` | The object was used after `close()`. |',
    '',
    '| code | meaning |',
    '|---|---|',
    ...rows,
    '',
    'This page is generated from `src/errors/codes.ts` by `npm run docs`.',
    '',
  ].join('\n')
  await expect(text).toMatchFileSnapshot(join(import.meta.dirname, '../../docs/errors.md'))
})
