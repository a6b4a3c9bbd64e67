import { expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { decodeX509Context } from '../../src/workload-api/decode/x509-context.js'
import { completeLimits } from '../../src/workload-api/limits.js'

const td = new TestTrustDomain('td.test')
const other = new TestTrustDomain('other.test')
const svid = td.svid()

function decode(crls: readonly Uint8Array[]) {
  const entry = {
    spiffeId: svid.id.toString(),
    chain: svid.certificatesDer(),
    key: svid.privateKeyDer(),
    keyFormat: 'pkcs8' as const,
    bundle: td.bundle().toDer(),
    hint: '',
  }
  const federated = new Map([['spiffe://other.test', other.bundle().toDer()]])
  return decodeX509Context({ svids: [entry], crls, federated }, completeLimits(), new Date())
}

test('a revocation list that cannot be read is told once, and the identity is used all the same', () => {
  const { value, warnings } = decode([new Uint8Array([0x30, 0x00])])
  expect(value.defaultSvid.id.toString()).toBe('spiffe://td.test/w')
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toContain('revocation list')
})

test('a message without lists brings no warning', () => {
  expect(decode([]).warnings).toEqual([])
})
