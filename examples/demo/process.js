// What the processes of the demo share: their names, and how each one introduces itself to the director.
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { authorizeAny } from 'authsec-sdk'

export const ids = {
  client: 'spiffe://demo.test/client',
  payments: 'spiffe://demo.test/payments',
  inventory: 'spiffe://demo.test/inventory',
  stranger: 'spiffe://demo.test/stranger',
}

/** The SPIFFE IDs that this process admits, as the director gave them on the command line. */
export function allowed() {
  const [list] = process.argv.slice(2)
  return list === 'any' ? authorizeAny() : list.split(',')
}

/** Tells the director who we are and where we listen, and from then on every rotation. */
export function introduce(name, svid, address) {
  const describe = () => ({
    name,
    pid: process.pid,
    spiffeId: svid.spiffeId,
    serial: svid.getX509Svid().serialNumber,
    expiresAt: svid.expiresAt.toISOString(),
  })
  const files = [dirname(svid.keyFilePath), svid.certFilePath, svid.keyFilePath, svid.caFilePath].map((path) => ({
    path,
    mode: statSync(path).mode & 0o777,
  }))
  process.send({ type: 'ready', ...describe(), files, url: address && `https://127.0.0.1:${address.port}` })
  svid.on('rotated', () => process.send({ type: 'rotated', ...describe() }))
  stopWithDirector(svid)
}

/** Ends this process cleanly when the director says so or is gone. */
export function stopWithDirector(svid) {
  process.on('disconnect', () => {
    void svid.shutdown().then(() => process.exit(0))
  })
}
