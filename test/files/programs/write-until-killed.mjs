// Writes one generation after the other until it is killed.
import { readFileSync } from 'node:fs'

const [, , files, directory] = process.argv
const { SvidFileWriter } = await import(files)
const contents = JSON.parse(readFileSync(0, 'utf8')).map(({ chain, key, ca }) => ({
  svid: { certificatesPem: () => chain, privateKeyPem: () => key },
  bundle: { toPem: () => ca, trustDomain: { name: 'example.org' } },
}))
const writer = await SvidFileWriter.open({ certDir: directory })
for (let i = 0; ; i++) {
  await writer.write(contents[i % contents.length])
  if (i === 3) process.stdout.write('writing\n')
}
