// Writes one identity, makes the disk refuse the next, and says what is left.
import { execFileSync } from 'node:child_process'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const { files, directory, remount, identities } = JSON.parse(readFileSync(0, 'utf8'))
const { SvidFileWriter } = await import(files)
const [first, second] = identities.map(({ svid, bundle }) => ({
  svid: { certificatesPem: () => svid.chain, privateKeyPem: () => svid.key },
  bundle: { toPem: () => bundle.ca, trustDomain: { name: 'example.org' } },
}))

const writer = await SvidFileWriter.open({ certDir: directory })
await writer.write(first)
if (remount) execFileSync('mount', ['-o', `remount,${remount}`, directory])
else fill(join(directory, 'filler'))

let failure
try {
  await writer.write(second)
} catch (error) {
  failure = error
}
const certificate = readFileSync(writer.paths.certFile, 'utf8')
const leaf = new X509Certificate(certificate)
process.stdout.write(
  JSON.stringify({
    code: failure?.code,
    cause: failure?.cause?.code,
    paired: leaf.checkPrivateKey(createPrivateKey(readFileSync(writer.paths.combinedFile))),
    serial: certificate === first.svid.certificatesPem() ? 'first' : 'other',
  }),
)

function fill(path) {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(4096), { flag: 'a' })
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error
  }
}
