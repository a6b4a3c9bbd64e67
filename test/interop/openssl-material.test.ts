import { testOpensslMaterial } from '../standards/openssl/material.js'
import { programOf } from './debian-package.js'

// In `npm test` it is skipped where the command is missing.
testOpensslMaterial(() => programOf('openssl', 'openssl'))
