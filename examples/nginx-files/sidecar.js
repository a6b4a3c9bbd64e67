import { QuickStartSVID } from 'authsec-sdk'

const directory = process.argv[2] ?? import.meta.dirname
const svid = await QuickStartSVID.initialize({
  certDir: `${directory}/certs`,
  // nginx reads its files once: SIGHUP makes it read them again, and no connection is lost by that.
  files: { afterWrite: { signal: { pidFile: `${directory}/nginx.pid` } } },
})
svid.on('written', () => console.log(`written: ${svid.expiresAt.toISOString()}`))
svid.on('warning', ({ message }) => console.warn(message))
console.log(`nginx is ${svid.spiffeId}`)

// The library holds no process; this one is there for the files alone.
const awake = setInterval(() => undefined, 60_000)
svid.shutdownOnSignals()
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => clearInterval(awake))
