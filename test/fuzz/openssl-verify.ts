import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pemEncode } from '../../src/encoding/index.js'
import { now } from './random-world.js'

export type OpensslPurpose = 'sslserver' | 'sslclient' | 'any'

interface DerCertificate {
  readonly der: Uint8Array
}

/** What the openssl command says of the leaves, each with the same certificates beside it. */
export interface OpensslAnswer {
  /** By their numbers. */
  readonly accepted: ReadonlySet<number>
  /** Why it refused the others: the first error of each. */
  readonly reasons: ReadonlyMap<number, string>
}

export async function askOpenssl(
  world: {
    authorities: readonly DerCertificate[]
    presented: readonly DerCertificate[]
    leaves: readonly DerCertificate[]
  },
  directory: string,
  purpose: OpensslPurpose,
): Promise<OpensslAnswer> {
  const write = (name: string, list: readonly DerCertificate[]) => {
    const path = join(directory, name)
    return writeFile(path, list.map(({ der }) => pemEncode('CERTIFICATE', der)).join('')).then(() => path)
  }
  const authorities = await write('authorities.pem', world.authorities)
  const presented = await write('presented.pem', world.presented)
  const leaves = await Promise.all(world.leaves.map((leaf, at) => write(`leaf-${at}.pem`, [leaf])))
  const trust = ['-no-CApath', '-no-CAstore', '-CAfile', authorities, '-partial_chain']
  const sent = world.presented.length > 0 ? ['-untrusted', presented] : []
  const at = ['-attime', String(now.getTime() / 1000), '-purpose', purpose]
  const [output, complaints] = await new Promise<[string, string]>((resolve, reject) => {
    execFile('openssl', ['verify', ...trust, ...sent, ...at, ...leaves], (error, stdout, stderr) => {
      // It fails as soon as one leaf is refused; only a program that could not run at all is an error.
      if (error && typeof error.code !== 'number') reject(new Error('openssl cannot be run', { cause: error }))
      else resolve([stdout, stderr])
    })
  })
  const lines = new Set(output.split('\n'))
  return {
    accepted: new Set(leaves.flatMap((leaf, index) => (lines.has(`${leaf}: OK`) ? [index] : []))),
    reasons: readReasons(complaints, leaves),
  }
}

/** Lines `error 20 at 0 depth lookup: why`, and behind those of each leaf `error leaf.pem: verification failed`. */
function readReasons(complaints: string, leaves: readonly string[]): Map<number, string> {
  const reasons = new Map<number, string>()
  let first: string | undefined
  for (const line of complaints.split('\n')) {
    first ??= /^error \d+ at \d+ depth lookup: ?(.+)/.exec(line)?.[1]
    const at = leaves.indexOf(/^error (.+): verification failed$/.exec(line)?.[1] ?? '')
    if (at < 0) continue
    if (first !== undefined) reasons.set(at, first)
    first = undefined
  }
  return reasons
}
