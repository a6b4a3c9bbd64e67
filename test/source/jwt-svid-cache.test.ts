import { expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { JwtSvidCache } from '../../src/source/jwt-svid-cache.js'
import { JwtSvid } from '../../src/svid/index.js'

const td = new TestTrustDomain('example.org')
const request = { audiences: ['a'], spiffeId: undefined }
const newSvid = () => JwtSvid.parseUnverified(td.token({ claims: { sub: 'spiffe://example.org/web', aud: ['a'] } }))

/** A cache whose agent answers when the test says so. */
function newCache() {
  const asked: ((svid: JwtSvid) => void)[] = []
  const cache = new JwtSvidCache({
    fetch: () => new Promise((resolve) => asked.push(resolve)),
    now: () => new Date(),
    maxEntries: 10,
    isWithdrawal: () => false,
    onRenewalFailed: () => undefined,
  })
  return { cache, asked }
}

test('what was asked for before the cache was cleared is given to who asked, and to nobody later', async () => {
  const { cache, asked } = newCache()
  const [before, after] = [newSvid(), newSvid()]
  const early = cache.get(request)
  cache.clear()
  const late = cache.get(request)
  expect(asked).toHaveLength(2)
  asked[1]?.(after)
  expect(await late).toBe(after)
  asked[0]?.(before)
  expect(await early).toBe(before)
  expect(await cache.get(request)).toBe(after)
  expect(cache.size).toBe(1)
})
