// One trust domain with a server and a client, and what a benchmark has opened.
import { once } from 'node:events'
import { TestTrustDomain } from 'authsec-sdk/testing'
import { LiveSource } from '../../soak/tls/live-source.mjs'

export const serverId = 'spiffe://bench.test/server'
export const clientId = 'spiffe://bench.test/client'
const td = new TestTrustDomain('bench.test')
const partner = new TestTrustDomain('partner.test')

export const svidOf = (id) => td.svid({ names: { uris: [id] } })
export const bundles = [td.bundle(), partner.bundle()]
export const sourceOf = (id, more = []) => new LiveSource({ svid: svidOf(id), bundles: [...bundles, ...more] })

/** What Node takes for an identity of its own, with the CAs of both trust domains in one list. */
export function nativeIdentity(id) {
  const svid = svidOf(id)
  return {
    cert: svid.certificatesPem(),
    key: svid.privateKeyPem(),
    ca: bundles.map((bundle) => bundle.toPem()),
    minVersion: 'TLSv1.3',
  }
}

/** What a server asks of clients when Node verifies them. */
export const nativeProof = { requestCert: true, rejectUnauthorized: true }
/** Who the server is plays no part for a client that Node verifies by its roots alone. */
export const anyName = { checkServerIdentity: () => undefined }

const toClose = []

export function closeLater(close) {
  toClose.push(close)
}

export async function closeAll() {
  for (const close of toClose.splice(0).reverse()) await close()
}

export async function listen(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closeLater(() => {
    server.close()
    server.closeAllConnections?.()
  })
  return server.address().port
}

/** Runs of `work` per second, one after the other. */
export function rate(count, work) {
  return async () => {
    const begin = process.hrtime.bigint()
    for (let done = 0; done < count; done++) await work()
    return count / secondsSince(begin)
  }
}

export function secondsSince(begin) {
  return Number(process.hrtime.bigint() - begin) / 1e9
}
