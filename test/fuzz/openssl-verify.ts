import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pemEncode } from '../../src/encoding/index.js'
import { now } from './random-world.js'

export type OpensslPurpose = 'sslserver' | 'sslclient' | 'any'

interface DerCertificate {
  readonly der: Uint8Array
}

/** Which leaves the openssl command accepts for a purpose, each with the same certificates beside it. */
export async function opensslAccepts(
  world: {
    authorities: readonly DerCertificate[]
    presented: readonly DerCertificate[]
    leaves: readonly DerCertificate[]
  },
  directory: string,
  purpose: OpensslPurpose,
): Promise<Set<number>> {
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
  const output = await new Promise<string>((resolve, reject) => {
    execFile('openssl', ['verify', ...trust, ...sent, ...at, ...leaves], (error, stdout) => {
      // It fails as soon as one leaf is refused; only a program that could not run at all is an error.
      if (error && typeof error.code !== 'number') reject(new Error('openssl cannot be run', { cause: error }))
      else resolve(stdout)
    })
  })
  const lines = new Set(output.split('\n'))
  return new Set(leaves.flatMap((leaf, index) => (lines.has(`${leaf}: OK`) ? [index] : [])))
}
