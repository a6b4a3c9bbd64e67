import { describe } from 'vitest'
import { opensslNeeded, opensslVersion } from '../fuzz/openssl-version.js'
import { testOpensslMaterial } from './openssl/material.js'

const version = opensslVersion()

if (version === undefined) console.warn(`skipped: what needs ${opensslNeeded}`)

// CI runs the same in test/interop, where the command has to be there.
describe.skipIf(version === undefined)(`with OpenSSL ${version ?? `(skipped)`}`, () =>
  testOpensslMaterial(() => Promise.resolve('openssl')),
)
