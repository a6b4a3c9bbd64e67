import { expect, vi } from 'vitest'
import type { X509Source } from '../../src/source/index.js'
import { verifyX509Svid, type X509Svid } from '../../src/svid/index.js'

/**
 * Looks at a source whenever it says something: its SVID must be there at every moment, and the bundle that came with
 * it must prove it.
 * @returns What was wrong so far; for a test to compare with nothing.
 */
export function watchOver(source: X509Source): string[] {
  const faults: string[] = []
  const look = (event: string) => () => {
    if (source.status().state === 'closed') return
    try {
      const svid = source.getX509Svid()
      verifyX509Svid(
        svid.certificates.map(({ der }) => der),
        source,
      )
    } catch (error) {
      faults.push(`at ${event}: ${String(error)}`)
    }
  }
  for (const event of ['update', 'retry', 'discarded', 'state', 'withdrawn', 'stopped'] as const) {
    source.on(event, look(event))
  }
  return faults
}

/** Resolves when the source holds this SVID. */
export async function untilHolds(source: X509Source, svid: () => X509Svid, timeout = 5_000): Promise<void> {
  await vi.waitFor(() => expect(source.getX509Svid().serialNumber).toBe(svid().serialNumber), { timeout, interval: 5 })
}
