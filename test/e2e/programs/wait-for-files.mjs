// A script whose files never come.
const [, , files, directory] = process.argv
const { X509FileSource } = await import(files)
await X509FileSource.open({ directory, initialTimeoutMs: 300 })
