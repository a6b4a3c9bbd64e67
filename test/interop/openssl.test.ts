import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { connect } from 'node:tls'
import { beforeAll, expect, test } from 'vitest'
import { pemEncode } from '../../src/encoding/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { freePort } from '../e2e/example-project.js'
import { programOf } from './debian-package.js'
import { ForeignWorld } from './foreign-world.js'
import { keepUntilEnd } from './keep-until-end.js'

const serverId = 'spiffe://example.org/server'
const keep = keepUntilEnd()
let openssl: string
let world: ForeignWorld

beforeAll(async () => {
  openssl = await programOf('openssl', 'openssl')
  world = await keep(ForeignWorld.create('spiffe://example.org/client'))
})

test('openssl accepts the files as they are, and as a server after each rotation', async () => {
  const workload = await world.workload(serverId)
  await using server = await QuickStartSVID.create({ endpoint: workload.endpoint })
  for (let round = 0; round < 3; round++) {
    const { certFilePath: cert, keyFilePath: key, caFilePath: ca } = server
    expect(execFileSync(openssl, ['verify', '-CAfile', ca, cert], { encoding: 'utf8' })).toContain('OK')
    execFileSync(openssl, ['pkey', '-in', key, '-noout', '-check'])
    const combined = join(dirname(cert), 'svid.pem')
    const port = await freePort()
    const files = ['-cert', combined, '-key', combined, '-CAfile', ca]
    const policy = ['-Verify', '1', '-verify_return_error', '-naccept', '2', '-quiet']
    const child = world.start(openssl, ['s_server', '-accept', `127.0.0.1:${port}`, ...files, ...policy], {
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    await world.accepts(port, child)
    const options = world.client.createTlsOptionsForClient({ authorize: serverId })
    const socket = connect({ port, host: '127.0.0.1', ...options })
    await once(socket, 'secureConnect')
    expect(socket.getPeerX509Certificate()!.serialNumber.toLowerCase()).toBe(workload.svid.serialNumber)
    socket.destroy()
    const exit = once(child, 'exit')
    child.kill()
    await exit

    const written = new Promise((resolve) => server.once('written', resolve))
    await world.agent.rotate()
    await written
  }
})

test('openssl reads the revocation list of a dev agent, and refuses what it names', async () => {
  const workload = await world.workload('spiffe://example.org/revoked')
  const [revoked, file] = [workload.svid, (name: string) => join(world.directory, name)]
  await workload.rotate()
  await world.agent.revoke(revoked)
  const { bundle } = world.agent
  await writeFile(file('ca.pem'), bundle.toPem())
  await writeFile(file('crl.pem'), bundle.crls.map((der) => pemEncode('X509 CRL', der)).join(''))
  await writeFile(file('revoked.pem'), revoked.certificatesPem())
  await writeFile(file('good.pem'), workload.svid.certificatesPem())

  const run = (args: readonly string[]) => spawnSync(openssl, args, { encoding: 'utf8' })
  const { stdout } = run(['crl', '-in', file('crl.pem'), '-noout', '-text', '-CAfile', file('ca.pem')])
  expect(stdout).toMatch(/X509v3 CRL Number: \n\s*1\n/)
  expect(stdout.toLowerCase()).toContain(`serial number: ${revoked.serialNumber}`)
  const verify = (name: string) =>
    run(['verify', '-x509_strict', '-crl_check', '-CAfile', file('ca.pem'), '-CRLfile', file('crl.pem'), file(name)])
  expect(verify('good.pem').stdout).toContain('OK')
  const refusal = verify('revoked.pem')
  expect(refusal.status).not.toBe(0)
  expect(refusal.stderr).toContain('certificate revoked')
})
