import type { RequestListener } from 'node:http'
import { createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import { authorizeMemberOf } from '../../src/tls/index.js'
import { onTestFinished } from 'vitest'
import { listen } from '../tls/network.js'
import type { TestCa } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

/** Serves a listener to every member of a.test, so that it is for the routes to decide. */
export async function serve(a: TestCa, listener: RequestListener) {
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  return listen(createHttpsServer(source, { authorize: authorizeMemberOf('a.test') }, listener))
}

export async function agentOf(a: TestCa, id: string): Promise<SpiffeHttpsAgent> {
  const source = new TestSource(await a.svid(id), a.bundle('a.test'))
  const agent = new SpiffeHttpsAgent(source, { authorize: 'spiffe://a.test/server' })
  onTestFinished(() => agent.destroy())
  return agent
}
