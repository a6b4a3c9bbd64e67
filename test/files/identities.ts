import type { X509Bundle } from '../../src/bundle/index.js'
import { DevAuthority } from '../../src/dev/authority/index.js'
import type { SvidFileContent } from '../../src/files/index.js'
import type { X509Svid } from '../../src/svid/index.js'

export interface Identity extends SvidFileContent {
  readonly svid: X509Svid
  readonly bundle: X509Bundle
}

/** Mints identities of one workload, each from the next of a few authorities of the same trust domain. */
export async function createMint(authorities = 1, id = 'spiffe://example.org/files'): Promise<() => Promise<Identity>> {
  const trustDomain = 'example.org'
  const all = await Promise.all(Array.from({ length: authorities }, () => DevAuthority.create({ trustDomain })))
  let count = 0
  return async () => {
    const authority = all[count++ % all.length]!
    return { svid: await authority.issueX509Svid({ id, ttlMs: 3_600_000 }), bundle: authority.bundle() }
  }
}
