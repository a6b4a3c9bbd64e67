import type { SvidFilesStatus } from '../files/index.js'
import type { X509Source, X509SourceStatus } from '../source/index.js'
import type { IdentityFiles } from './identity-files.js'
import type { ProbeAnswer } from './probes.js'

/**
 * `healthy`: an identity that is valid, and an agent that keeps it so. `degraded`: one of the two is missing, and is
 * being waited for. `unhealthy`: the agent refuses for good or everything is shut down; only a new start can help.
 */
export type Health = 'healthy' | 'degraded' | 'unhealthy'

/** How a `QuickStartSVID` is doing now. Plain data without key or certificate. */
export interface QuickStartStatus {
  /** There is an identity that is valid now. */
  readonly ready: boolean
  readonly health: Health
  readonly source: X509SourceStatus
  /** Absent with `files: false`. */
  readonly files: SvidFilesStatus | undefined
}

export function statusOf(source: X509Source, files: IdentityFiles): QuickStartStatus {
  const status = source.status()
  const ready = status.state !== 'closed' && (status.svid?.remainingMs ?? -1) >= 0
  return { ready, health: healthOf(status, ready), source: status, files: files.status() }
}

function healthOf({ state }: X509SourceStatus, ready: boolean): Health {
  if (state === 'stopped' || state === 'closed') return 'unhealthy'
  return ready && state === 'ready' ? 'healthy' : 'degraded'
}

/** 200 while requests may come: there is an identity to serve them with. */
export function readinessOf({ ready }: QuickStartStatus): ProbeAnswer {
  return { statusCode: ready ? 200 : 503, body: { ready } }
}

/** 503 only where starting anew would help: an agent that is away comes back without it. */
export function livenessOf({ health }: QuickStartStatus): ProbeAnswer {
  return { statusCode: health === 'unhealthy' ? 503 : 200, body: { status: health } }
}
