// A script that takes its identity from files and ends, without close().
const [, , files, directory] = process.argv
const { X509FileSource } = await import(files)
const source = await X509FileSource.open({ directory })
process.stdout.write(source.getX509Svid().id.toString())
