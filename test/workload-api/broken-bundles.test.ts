import { describe, expect, onTestFinished, test } from 'vitest'
import { JwtBundle } from '../../src/bundle/index.js'
import { TestAgent, TestTrustDomain } from '../../src/dev/testing/index.js'
import { X509Source } from '../../src/source/index.js'
import { TrustDomain } from '../../src/spiffe-id/index.js'
import { verifyX509Svid } from '../../src/svid/index.js'
import { decodeJwtBundles } from '../../src/workload-api/decode/jwt.js'
import { decodeX509BundleSet } from '../../src/workload-api/decode/x509-bundle-set.js'
import { icpDialect } from '../../src/workload-api/dialects/icp.js'
import { completeLimits } from '../../src/workload-api/limits.js'
import { encode } from './scripted-agent.js'

const partner = new TestTrustDomain('partner.test')
const own = new TestTrustDomain('own.test')
const invalid = expect.objectContaining({ code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' }) as Error
const limits = completeLimits({ maxCertificatesPerBundle: 2 })

/** What a partner may publish that is of no use. */
const broken: Record<string, Uint8Array> = {
  'bytes that are no certificate': Buffer.from('rubbish'),
  'a certificate cut short': partner.root.der.subarray(0, -1),
  'a leaf': partner.leaf().der,
  'a good authority and a leaf': Buffer.concat([partner.root.der, partner.leaf().der]),
  'more certificates than allowed': Buffer.concat(
    Array.from({ length: 3 }, () => new TestTrustDomain('partner.test').root.der),
  ),
}

describe.each(Object.entries(broken))('%s as a federated bundle', (_what, bytes) => {
  test('does not keep the own SVID from being renewed, and nothing of that trust domain is trusted', async () => {
    const agent = await TestAgent.start({ after: onTestFinished })
    agent.federateWith(partner.bundle())
    const source = await X509Source.open({ endpoint: agent.endpoint, limits: { maxCertificatesPerBundle: 2 } })
    onTestFinished(() => source.close())
    const before = source.getX509Svid()
    expect(verifyX509Svid([partner.leaf().der], source).id.path).toBe('/w')
    const warning = new Promise<string>((resolve) => source.once('warning', resolve))
    const discarded: unknown[] = []
    source.on('discarded', (error) => discarded.push(error))
    agent.rewrite((_method, message) => ({ ...message, federatedBundles: { 'spiffe://partner.test': bytes } }))
    await agent.rotate()
    expect(await warning).toContain('partner.test')
    await expect.poll(() => source.getX509Svid().serialNumber).not.toBe(before.serialNumber)
    expect(() => verifyX509Svid([partner.leaf().der], source)).toThrow(
      expect.objectContaining({ code: 'ERR_X509_CHAIN_UNTRUSTED' }),
    )
    expect(discarded).toEqual([])
  })

  test('is an empty bundle among X.509 bundles, and no bundle at all when it is alone', () => {
    const good: [string, Uint8Array] = ['spiffe://own.test', own.bundle().toDer()]
    const bad: [string, Uint8Array] = ['spiffe://partner.test', bytes]
    const decode = (...bundles: [string, Uint8Array][]) =>
      decodeX509BundleSet({ bundles: new Map(bundles), crls: [] }, limits, new Date())
    const { value, warnings } = decode(good, bad)
    expect(value.getX509Bundle(partner.trustDomain)?.authorities).toEqual([])
    expect(value.getX509Bundle(own.trustDomain)?.equals(own.bundle())).toBe(true)
    expect(warnings).toEqual([expect.stringContaining('partner.test')])
    expect(() => decode(bad)).toThrow(invalid)
  })
})

test('a JWT bundle that cannot be read is an empty one among others, and no bundle at all when it is alone', () => {
  const good = Buffer.from(JSON.stringify(own.jwtBundle()))
  const decode = (...bundles: [string, Uint8Array][]) => decodeJwtBundles(new Map(bundles), limits)
  const { value, warnings } = decode(['own.test', good], ['partner.test', Buffer.from('rubbish')])
  expect(value.getJwtBundle(partner.trustDomain)).toEqual(JwtBundle.fromAuthorities(partner.trustDomain, []))
  expect(value.getJwtBundle(own.trustDomain)?.equals(own.jwtBundle())).toBe(true)
  expect(warnings).toEqual([expect.stringContaining('partner.test')])
  expect(() => decode(['partner.test', Buffer.from('rubbish')])).toThrow(invalid)
})

test('over ICP, what is neither PEM nor DER is an empty bundle too', () => {
  const bundles = { 'own.test': Buffer.from(own.bundle().toPem()), 'partner.test': Buffer.from('rubbish') }
  const message = icpDialect.readX509Bundles(encode('X509BundlesResponse', { bundles }, 'icp'))
  const { value, warnings } = decodeX509BundleSet(message, limits, new Date())
  expect([...value].map(({ authorities }) => authorities.length)).toEqual([1, 0])
  expect(value.getX509Bundle(TrustDomain.parse('partner.test'))).toBeDefined()
  expect(warnings).toHaveLength(1)
})
