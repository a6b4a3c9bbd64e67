import { once } from 'node:events'
import { join } from 'node:path'
import * as tls from 'node:tls'
import { expect, onTestFinished, test, vi } from 'vitest'
import { TestAgent, TestTrustDomain } from '../../src/dev/testing/index.js'
import { Certificate } from '../../src/encoding/index.js'
import { SvidFileWriter, X509FileSource } from '../../src/files/index.js'
import { BundleSource, X509Source } from '../../src/source/index.js'
import {
  attachSpiffeToServer,
  authorizeAny,
  createTlsOptionsForClient,
  createTlsOptionsForServer,
} from '../../src/tls/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'
import { listen } from '../tls/network.js'

const partner = new TestTrustDomain('partner.test')
const renewed = new TestTrustDomain('partner.test')

async function start() {
  const agent = await TestAgent.start({ after: onTestFinished })
  agent.federateWith(partner.bundle())
  const source = await X509Source.open({ endpoint: agent.endpoint })
  onTestFinished(() => source.close())
  return { agent, source, own: agent.bundle.trustDomain }
}

const updated = (source: X509Source | BundleSource) =>
  new Promise<void>((resolve) => void source.once('update', () => resolve()))

test('X509Source: a rotation leaves the bundles the same objects, and one that changes is another', async () => {
  const { agent, source, own } = await start()
  const [svid, bundles, ownBundle] = [source.getX509Svid(), source.context.bundles, source.getX509Bundle(own)]
  let update = updated(source)
  await agent.rotate()
  await update
  expect(source.getX509Svid()).not.toBe(svid)
  expect(source.context.bundles).toBe(bundles)
  const newer = source.getX509Svid()
  update = updated(source)
  agent.federateWith(renewed.bundle())
  await update
  expect(source.getX509Bundle(own)).toBe(ownBundle)
  expect(source.getX509Bundle(partner.trustDomain)?.equals(renewed.bundle())).toBe(true)
  expect(source.getX509Svid()).toBe(newer)
})

test('BundleSource: a bundle that changes leaves the others the same objects', async () => {
  const { agent, own } = await start()
  const source = await BundleSource.open({ endpoint: agent.endpoint, only: 'x509' })
  onTestFinished(() => source.close())
  const ownBundle = source.getX509Bundle(own)
  const update = updated(source)
  agent.federateWith(renewed.bundle())
  await update
  expect(source.getX509Bundle(own)).toBe(ownBundle)
  expect(source.getX509Bundle(partner.trustDomain)?.equals(renewed.bundle())).toBe(true)
})

test('X509FileSource: a new certificate leaves the bundles the same objects', async () => {
  const { agent, source, own } = await start()
  const writer = await SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
  onTestFinished(() => writer.close())
  const write = () => writer.write({ svid: source.getX509Svid(), bundle: source.getX509Bundle(own)! })
  await write()
  const files = await X509FileSource.open({ directory: writer.paths.directory, pollMs: 50 })
  onTestFinished(() => files.close())
  const [svid, bundles] = [files.getX509Svid(), files.context.bundles]
  const update = updated(source)
  await agent.rotate()
  await update
  await write()
  await expect.poll(() => files.getX509Svid().equals(svid)).toBe(false)
  expect(files.context.bundles).toBe(bundles)
})

test('a peer that is connected through a rotation is judged again without checking a signature', async () => {
  const { agent, source } = await start()
  const server = tls.createServer(createTlsOptionsForServer(source))
  const asked: string[] = []
  attachSpiffeToServer(server, source, {
    authorize: (id) => {
      asked.push(id.toString())
      return true
    },
  })
  const port = await listen(server)
  const admitted = once(server, 'secureConnection')
  const options = createTlsOptionsForClient(source, { authorize: authorizeAny() })
  const socket = tls.connect({ ...options, port, host: '127.0.0.1' })
  onTestFinished(() => void socket.destroy())
  await Promise.all([once(socket, 'secureConnect'), admitted])
  expect(asked).toHaveLength(1)
  const signatures = vi.spyOn(Certificate.prototype, 'isSignedBy')
  onTestFinished(() => signatures.mockRestore())
  const update = updated(source)
  await agent.rotate()
  await update
  await expect.poll(() => asked).toHaveLength(2)
  expect(signatures).not.toHaveBeenCalled()
  expect(socket.destroyed).toBe(false)
})
