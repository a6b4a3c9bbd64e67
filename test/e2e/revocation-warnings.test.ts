import { onTestFinished, expect, test } from 'vitest'
import { TestAgent, TestTrustDomain } from '../../src/dev/testing/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { BundleSource, X509Source } from '../../src/source/index.js'

const stranger = new TestTrustDomain('example.org')

/** Lists that cannot be judged, said to be of this issuer. */
const unjudgeable: Record<string, (issuerName: Uint8Array) => Uint8Array> = {
  'bytes that are none': () => Buffer.from('nothing'),
  'a delta list': (issuerName) => list(issuerName, '2.5.29.27', [2, 1, 1]),
  'one with an unknown critical extension': (issuerName) => list(issuerName, '1.2.3.4', [5, 0]),
  'one with a false signature': (issuerName) => stranger.root.issueCrl({ issuerName }),
}

function list(issuerName: Uint8Array, id: string, value: readonly number[]): Uint8Array {
  return stranger.root.issueCrl({ issuerName, extensions: [{ id, critical: true, value: Uint8Array.from(value) }] })
}

/** The first warning of whoever opens a source in the usual way, and what he has to use by then. */
const users: Record<string, (endpoint: string) => Promise<{ warning: Promise<string>; usable: () => boolean }>> = {
  X509Source: async (endpoint) => {
    const source = await X509Source.open({ endpoint })
    onTestFinished(() => source.close())
    const warning = new Promise<string>((resolve) => source.once('warning', resolve))
    return { warning, usable: () => !source.getX509Svid().isExpired() }
  },
  BundleSource: async (endpoint) => {
    const source = await BundleSource.open({ endpoint })
    onTestFinished(() => source.close())
    const warning = new Promise<string>((resolve) => source.once('warning', resolve))
    return { warning, usable: () => source.snapshot.x509Bundles.size === 1 && source.status().state === 'ready' }
  },
  QuickStartSVID: async (endpoint) => {
    const svid = await QuickStartSVID.create({ endpoint })
    onTestFinished(() => svid.shutdown())
    const warning = new Promise<string>((resolve) => svid.once('warning', ({ message }) => resolve(message)))
    return { warning, usable: () => svid.status().ready }
  },
}

for (const [user, open] of Object.entries(users))
  for (const [what, crlOf] of Object.entries(unjudgeable))
    test(`${user}: ${what} among the revocation lists is reported and takes nothing down`, async () => {
      const agent = await TestAgent.start({ after: onTestFinished })
      const crl = [crlOf(agent.bundle.authorities[0]!.subject)]
      agent.rewrite((method, message) => (method.includes('X509') ? { ...message, crl } : undefined))
      const { warning, usable } = await open(agent.endpoint)
      expect(await warning).toContain('revocation list')
      expect(usable()).toBe(true)
    })
