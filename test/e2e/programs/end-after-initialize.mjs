// A script that gets its identity and ends, without shutdown().
const [, , index, endpoint] = process.argv
const { QuickStartSVID } = await import(index)
const svid = await QuickStartSVID.initialize({ endpoint })
process.stdout.write(`${JSON.stringify({ spiffeId: svid.spiffeId, certFile: svid.certFilePath })}\n`)
