// What reading and proving costs, beside what Node.js and jose offer for the same inputs.
import { X509Certificate } from 'node:crypto'
import { Certificate, SpiffeId, verifyX509Svid, X509BundleSet } from 'authsec-sdk'
import { TestTrustDomain } from 'authsec-sdk/testing'
import { interleave, summarize } from '../statistics.mjs'
import { jwtTables } from './jwt.mjs'

const text = 'spiffe://example.org/ns/production/sa/payments'

/** Microseconds of CPU for one call, those of other threads included: this machine may be busy with other things. */
export function time(count, work) {
  return async () => {
    const begin = process.cpuUsage()
    for (let i = 0; i < count; i++) await work()
    const { user, system } = process.cpuUsage(begin)
    return (user + system) / count
  }
}

function timeSync(count, work) {
  return () => {
    const begin = process.cpuUsage()
    for (let i = 0; i < count; i++) work()
    const { user, system } = process.cpuUsage(begin)
    return Promise.resolve((user + system) / count)
  }
}

export async function run({ rounds }) {
  const td = new TestTrustDomain('example.org')
  const intermediate = td.intermediate()
  const leaf = td.leaf({ names: { uris: [text] } }, intermediate)
  const chain = [leaf.der, intermediate.der]
  const bundles = new X509BundleSet([td.bundle()])
  const root = new X509Certificate(td.root.der)
  const rootKey = root.publicKey

  /** Links and signatures with the built-in class, and none of the other rules. */
  const native = () => {
    const [first, second] = chain.map((der) => new X509Certificate(der))
    if (!first.checkIssued(second) || !first.verify(second.publicKey)) throw new Error('not linked')
    if (!second.checkIssued(root) || !second.verify(rootKey)) throw new Error('not linked')
  }
  // Leaves that were never seen, so that nothing is remembered of them.
  const fresh = Array.from({ length: (rounds + 1) * 50 }, () => td.leaf({ keys: leaf.keys }, intermediate).der)

  const table = async (title, baseline, candidates) => {
    const rows = summarize(await interleave(candidates, rounds), baseline)
    return { title, unit: 'µs of CPU', baseline, rows }
  }
  return {
    tables: [
      await table('SPIFFE ID', 'new URL', {
        'new URL': timeSync(50_000, () => new URL(text)),
        'SpiffeId.parse': timeSync(50_000, () => SpiffeId.parse(text)),
      }),
      await table('certificate', 'new X509Certificate', {
        'new X509Certificate': timeSync(2_000, () => new X509Certificate(leaf.der)),
        'Certificate.parse': timeSync(5_000, () => Certificate.parse(leaf.der)),
      }),
      await table('X509-SVID, leaf and intermediate', 'two links with X509Certificate', {
        'two links with X509Certificate': timeSync(50, native),
        'verifyX509Svid, never seen': timeSync(50, () => verifyX509Svid([fresh.pop(), intermediate.der], bundles)),
        'verifyX509Svid, seen before': timeSync(20_000, () => verifyX509Svid(chain, bundles)),
      }),
      ...(await jwtTables(td, rounds)),
    ],
  }
}
