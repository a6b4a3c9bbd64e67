// What proving peers costs: beside Node's own verification with the CAs in one list, and beside no authorization at all.
// About five minutes with 15 rounds. The machine should have two cores with nothing else to do.
import { measureAdapters } from './adapters.mjs'
import { measureHandshakes } from './handshakes.mjs'
import { measureKeepAlive } from './keep-alive.mjs'
import { measurePush } from './push.mjs'
import { closeAll } from './world.mjs'

const frameworks = { https: 'https', Express: 'express', Fastify: 'fastify' }

export async function run(options) {
  const tables = []
  const measure = async (part) => {
    try {
      tables.push(await part())
    } finally {
      await closeAll()
    }
  }
  await measure(() => measureHandshakes(options))
  for (const [title, kind] of Object.entries(frameworks)) {
    const byRoute = { 'authorized, by route too': `${kind} authorized by route` }
    const kinds = { 'no authorization': kind, authorized: `${kind} authorized`, ...(kind === 'https' ? {} : byRoute) }
    await measure(() => measureKeepAlive(title, kinds, options))
  }
  await measure(() => measurePush(options))
  await measure(() => measureAdapters(options))
  return { tables }
}
