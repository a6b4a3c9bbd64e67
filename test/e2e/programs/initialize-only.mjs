// A script that does not catch what initialize() throws.
const [, , index, endpoint, initialTimeoutMs] = process.argv
const { QuickStartSVID } = await import(index)
await QuickStartSVID.initialize({ endpoint, initialTimeoutMs: Number(initialTimeoutMs) })
process.stdout.write('initialized\n')
