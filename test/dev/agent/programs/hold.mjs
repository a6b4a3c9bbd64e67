// Starts an agent, connects to it, and does nothing more. A timer that holds nothing tells whether the agent held the
// process.
import { once } from 'node:events'
import { createConnection } from 'node:net'

const [entry, unref] = process.argv.slice(2)
const { DevAgent } = await import(entry)
const agent = await DevAgent.start({ trustDomain: 'example.org', unref: unref === 'unref' })
const { endpoint } = await agent.workload('spiffe://example.org/web')
const connection = createConnection(endpoint.replace('unix://', ''))
// The first bytes of the server's side: it has taken the connection.
await once(connection, 'data')
connection.unref()
console.log(endpoint)
setTimeout(async () => {
  console.log('held')
  await agent.close()
}, 500).unref()
