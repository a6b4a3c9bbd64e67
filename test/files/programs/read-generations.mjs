// Reads the files over and over, as another program would, until its standard input ends; then prints what it saw.
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

const [, , how, directory] = process.argv
const seen = { reads: 0, generations: 0, mismatches: 0, retries: 0 }
const serials = new Set()
let ended = false
process.stdin.on('end', () => (ended = true)).resume()
process.stdout.write('ready\n')

while (!ended) {
  try {
    judge(how === 'current' ? readGeneration() : readCombined())
  } catch (error) {
    // The generation that was resolved is gone: start over from `current`.
    if (error.code !== 'ENOENT') throw error
    seen.retries++
  }
  await turn()
}
seen.generations = serials.size
process.stdout.write(JSON.stringify(seen))

function readGeneration() {
  const generation = join(directory, readlinkSync(join(directory, 'current')))
  const [cert, key, ca] = ['svid.crt', 'svid.key', 'ca.crt'].map((name) => readFileSync(join(generation, name)))
  return { cert, key, ca }
}

function readCombined() {
  const text = readFileSync(join(directory, 'svid.pem'))
  return { cert: text, key: text }
}

function judge({ cert, key, ca }) {
  seen.reads++
  const leaf = new X509Certificate(cert)
  serials.add(leaf.serialNumber)
  const paired = leaf.checkPrivateKey(createPrivateKey(key))
  const trusted = ca === undefined || leaf.verify(new X509Certificate(ca).publicKey)
  if (!paired || !trusted) seen.mismatches++
}
