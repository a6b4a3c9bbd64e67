import { once } from 'node:events'
import { request, type Agent } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { callerOfRequest, createHttpsServer, SpiffeHttpsAgent } from '../../../src/adapters/https/index.js'
import { TestAgent } from '../../../src/dev/testing/index.js'
import type { DevWorkload } from '../../../src/dev/agent/index.js'
import { SpiffeError } from '../../../src/errors/index.js'
import { X509Source } from '../../../src/source/index.js'
import { listen } from '../../tls/network.js'

// From the authority's signature to the peer that is refused: agent, sources, TLS.

async function openSource({ endpoint }: DevWorkload): Promise<X509Source> {
  const source = await X509Source.open({ endpoint })
  onTestFinished(() => source.close())
  return source
}

/** Resolves when the source has the revocation list. */
async function untilTold(source: X509Source, revoked: { serialNumber: string }): Promise<void> {
  const knows = () => source.context.bundles.getX509Bundle(source.getX509Svid().id.trustDomain)?.revocationLists ?? []
  await expect
    .poll(() => knows().some((list) => list.names(revoked.serialNumber)), { interval: 5, timeout: 10_000 })
    .toBe(true)
}

async function startPair(options: { partner?: boolean } = {}) {
  const agent = await TestAgent.start({ workloads: [], after: onTestFinished })
  const other = options.partner
    ? await TestAgent.start({ trustDomain: 'partner.example', workloads: [], after: onTestFinished })
    : agent
  if (options.partner) {
    agent.federateWith(other)
    other.federateWith(agent)
  }
  const server = await agent.workload('spiffe://example.org/server')
  const client = await other.workload(`${other.agent.trustDomain.idString}/client`)
  const [serving, calling] = [await openSource(server), await openSource(client)]
  const rejected: string[] = []
  const onRejected = (error: Error) => void rejected.push(error instanceof SpiffeError ? error.code : String(error))
  const https = createHttpsServer(serving, { authorize: client.id.toString(), onRejected }, (incoming, response) =>
    response.end(callerOfRequest(incoming)!.id.toString()),
  )
  const port = await listen(https)
  const agentOf = (keepAlive: boolean) => {
    const made = new SpiffeHttpsAgent(calling, { authorize: server.id.toString(), keepAlive })
    onTestFinished(() => made.destroy())
    return made
  }
  return {
    agent,
    other,
    server,
    client,
    serving,
    calling,
    rejected,
    https,
    port,
    fresh: agentOf(false),
    kept: agentOf(true),
  }
}

/** What the server heard of the caller, or the code of what went wrong. */
function call(port: number, agent: Agent): Promise<string> {
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, agent }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve(text))
    })
    sent.on('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message))
    sent.end()
  })
}

for (const [where, partner] of [
  ['of its own trust domain', false],
  ['of a federated trust domain', true],
] as const)
  test(`a server refuses a client ${where} whose certificate was revoked, until that client has another one`, async () => {
    const { other, client, serving, rejected, https, port, fresh, kept } = await startPair({ partner })
    const accepted = once(https, 'secureConnection') as Promise<[TLSSocket]>
    expect(await call(port, kept)).toBe(client.id.toString())
    const [open] = await accepted
    const closed = once(open, 'close')
    const revoked = client.svid

    await other.revoke(revoked)
    // A connection that stood loses its peer as well.
    await closed
    expect(await call(port, fresh)).toMatch(/^(ECONNRESET|EPIPE|ERR_SSL_\w+)$/)
    expect(new Set(rejected)).toEqual(new Set(['ERR_X509_SVID_REVOKED']))
    if (!partner) await untilTold(serving, revoked)

    await other.rotate()
    await expect.poll(() => call(port, fresh), { interval: 5, timeout: 10_000 }).toBe(client.id.toString())
  })

test('a client refuses a server whose certificate was revoked, until that server has another one', async () => {
  const { agent, server, calling, serving, port, fresh } = await startPair()
  expect(await call(port, fresh)).toBe('spiffe://example.org/client')
  const revoked = server.svid
  await agent.revoke(revoked)
  await untilTold(calling, revoked)
  expect(await call(port, fresh)).toBe('ERR_X509_SVID_REVOKED')
  await server.rotate()
  await expect
    .poll(() => serving.getX509Svid().serialNumber, { interval: 5, timeout: 10_000 })
    .toBe(server.svid.serialNumber)
  expect(await call(port, fresh)).toBe('spiffe://example.org/client')
})
