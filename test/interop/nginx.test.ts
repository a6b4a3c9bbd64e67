import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import type { Agent } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { TLSSocket } from 'node:tls'
import { beforeAll, expect, test } from 'vitest'
import type { DevWorkload } from '../../src/dev/agent/index.js'
import { ExampleProjects, freePort } from '../e2e/example-project.js'
import type { Started } from '../e2e/example-project.js'
import { programOf } from './debian-package.js'
import { ForeignWorld } from './foreign-world.js'
import { keepUntilEnd } from './keep-until-end.js'

const nginxId = 'spiffe://example.org/nginx'
const keep = keepUntilEnd()
let world: ForeignWorld
let workload: DevWorkload
let directory: string
let port: number
let sidecar: Started
let nginx: ChildProcess

/** The example as it is, on a port that is free. */
beforeAll(async () => {
  const program = await programOf('nginx-light', 'nginx')
  world = await keep(ForeignWorld.create('spiffe://example.org/client'))
  const projects = new ExampleProjects()
  await keep(Promise.resolve({ [Symbol.asyncDispose]: () => projects.close() }))
  workload = await world.workload(nginxId)
  directory = await projects.install('nginx-files')
  port = await freePort()
  const config = join(directory, 'nginx.conf')
  await writeFile(config, (await readFile(config, 'utf8')).replace('127.0.0.1:8443', `127.0.0.1:${port}`))
  sidecar = projects.start(directory, 'sidecar.js', { SPIFFE_ENDPOINT_SOCKET: workload.endpoint }, [directory])
  await sidecar.prints(`nginx is ${nginxId}`)
  const args = ['-p', `${directory}/`, '-c', 'nginx.conf', '-g', 'daemon off;']
  nginx = world.start(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  await world.accepts(port, nginx)
})

/** One request on a connection of its own: the answer, and the certificate that nginx showed. */
function ask(agent: Agent): Promise<{ status: number; body: string; serialNumber: string }> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent }, (response) => {
      // Now: a moment later the connection may be closed, and with it goes the certificate.
      const { serialNumber } = peerCertificate(response.socket)
      text(response).then((body) => {
        resolve({ status: response.statusCode!, body, serialNumber: serialNumber.toLowerCase() })
      }, reject)
    }).on('error', reject)
  })
}

function peerCertificate(socket: Socket): X509Certificate {
  if (!(socket instanceof TLSSocket)) throw new Error('expected a TLS connection')
  return socket.getPeerX509Certificate()!
}

test('nginx serves with the files as they are, and knows who has an SVID of the trust domain', async () => {
  const agent = world.client.httpsAgent({ authorize: nginxId, keepAlive: false })
  expect(await ask(agent)).toEqual({
    status: 200,
    body: 'hello from nginx\n',
    serialNumber: workload.svid.serialNumber,
  })
  const anonymous = get({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false })
  const [refused] = (await once(anonymous, 'response')) as [IncomingMessage]
  expect(refused.statusCode).toBe(400)
  expect(await text(refused)).toContain('No required SSL certificate was sent')
})

test('it follows each rotation by the hook, and no request fails meanwhile', async () => {
  const agent = world.client.httpsAgent({ authorize: nginxId, keepAlive: false })
  const seen = new Set<string>()
  const answers: unknown[] = []
  let asking = true
  const load = Array.from({ length: 4 }, async () => {
    while (asking) {
      const answer = await ask(agent).catch((error: unknown) => ({ status: error, serialNumber: 'none' }))
      answers.push(answer.status)
      seen.add(answer.serialNumber)
    }
  })
  const serials = [workload.svid.serialNumber]
  for (let rotation = 0; rotation < 5; rotation++) {
    await world.agent.rotate()
    const { serialNumber } = workload.svid
    serials.push(serialNumber)
    await expect.poll(() => seen.has(serialNumber), { timeout: 15_000 }).toBe(true)
  }
  asking = false
  await Promise.all(load)
  expect(answers.filter((status) => status !== 200)).toEqual([])
  expect(answers.length).toBeGreaterThan(50)
  expect([...seen].sort()).toEqual(serials.sort())
  // It complained once, before there was an nginx to signal.
  expect(sidecar.output().match(/the signal after it failed/g)).toHaveLength(1)
})

test('the identity that nginx shows is not taken for another', async () => {
  const agent = world.client.httpsAgent({ authorize: 'spiffe://example.org/payments' })
  await expect(ask(agent)).rejects.toMatchObject({ code: 'ERR_PEER_NOT_AUTHORIZED' })
})
