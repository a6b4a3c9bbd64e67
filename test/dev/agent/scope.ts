import { afterEach } from 'vitest'
import { DevAgent } from '../../../src/dev/agent/index.js'
import type { DevAgentOptions } from '../../../src/dev/agent/index.js'
import { IndependentClient } from './independent-client.js'

const cleanups: (() => void | Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Runs after the test, last first. */
export function afterwards(cleanup: () => void | Promise<void>): void {
  cleanups.push(cleanup)
}

/** An agent that the test need not close. */
export async function startAgent(options: Partial<DevAgentOptions> = {}): Promise<DevAgent> {
  const agent = await DevAgent.start({ trustDomain: 'example.org', ...options })
  afterwards(() => agent.close())
  return agent
}

/** A client that the test need not close. */
export function connect(endpoint: string, dialect?: 'standard' | 'icp'): IndependentClient {
  const client = new IndependentClient(endpoint, dialect)
  afterwards(() => client.close())
  return client
}
