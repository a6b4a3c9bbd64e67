import { describe } from 'vitest'
import { opensslNeeded, opensslVersion } from '../fuzz/openssl-version.js'
import { testOpensslMaterial } from './openssl/material.js'

const version = opensslVersion()

// CI runs the same in test/interop, where the command has to be there.
describe.skipIf(version === undefined)(`with OpenSSL ${version ?? `(skipped: needs ${opensslNeeded})`}`, () =>
  testOpensslMaterial(() => Promise.resolve('openssl')),
)
