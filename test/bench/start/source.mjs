// The program under test: the package as it is built, until the SVID is verified. Prints where its time went, afterwards.
import { X509Source } from 'authsec-sdk'

// Not `performance`, which Node loads when it is first used.
const imported = process.hrtime.bigint()
const source = await X509Source.open()
source.getX509Svid()
process.stdout.write('ready\n')
const opened = process.hrtime.bigint()

const sinceOrigin = (time) => performance.now() - Number(process.hrtime.bigint() - time) / 1e6
const node = performance.nodeTiming.bootstrapComplete
const [importedAt, openedAt] = [sinceOrigin(imported), sinceOrigin(opened)]
process.stdout.write(
  JSON.stringify({ 'node itself': node, 'import authsec-sdk': importedAt - node, 'open()': openedAt - importedAt }),
)
await source.close()
