// Keeps the files of a server fresh and tells it; runs as the user of that server until its input ends.
import { QuickStartSVID } from 'authsec-sdk'

const [, , endpoint, certDir, pidFile] = process.argv
const svid = await QuickStartSVID.initialize({ endpoint, certDir, files: { afterWrite: { signal: { pidFile } } } })
svid.on('warning', ({ message }) => process.stdout.write(`${message}\n`))
process.stdout.write('ready\n')
process.stdin.on('end', () => void svid.shutdown()).resume()
