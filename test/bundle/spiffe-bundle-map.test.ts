import { expect, test } from 'vitest'
import { SpiffeBundle, SpiffeBundleMap } from '../../src/bundle/index.js'
import { TestTrustDomain } from '../../src/dev/testing/index.js'

const bundleOf = (name: string, refreshHintMs?: number) => {
  const td = new TestTrustDomain(name)
  return SpiffeBundle.from({
    trustDomain: td.trustDomain,
    x509Authorities: td.bundle().authorities,
    jwtAuthorities: td.jwtBundle().authorities,
    sequenceNumber: 2n ** 60n + 1n,
    refreshHintMs,
  })
}

test('a map is what it is after a round trip, without the hints that nobody would read', () => {
  const [a, b] = [bundleOf('a.test', 60_000), bundleOf('b.test')]
  const map = SpiffeBundleMap.from([a, b])
  const read = SpiffeBundleMap.parse(map.marshal())
  expect(read.equals(map)).toBe(true)
  expect(read.equals(SpiffeBundleMap.from([b, a]))).toBe(true)
  expect(read.get(b.trustDomain)?.equals(b)).toBe(true)
  expect(read.get(a.trustDomain)?.x509Bundle.equals(a.x509Bundle)).toBe(true)
  expect([...read].map(({ refreshHintMs, sequenceNumber }) => [refreshHintMs, sequenceNumber])).toEqual([
    [undefined, a.sequenceNumber],
    [undefined, b.sequenceNumber],
  ])
})

test('maps of other bundles or of fewer are others, and a trust domain has one bundle', () => {
  const [a, b] = [bundleOf('a.test'), bundleOf('b.test')]
  expect(SpiffeBundleMap.from([a]).equals(SpiffeBundleMap.from([a, b]))).toBe(false)
  expect(SpiffeBundleMap.from([a]).equals(SpiffeBundleMap.from([bundleOf('a.test')]))).toBe(false)
  expect(() => SpiffeBundleMap.from([a, a])).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
})
