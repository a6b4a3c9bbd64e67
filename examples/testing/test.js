import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get } from 'node:https'
import { test } from 'node:test'
import { text } from 'node:stream/consumers'
import { QuickStartSVID } from 'authsec-sdk'
import { TestAgent } from 'authsec-sdk/testing'
import { createPayments } from './payments.js'

const [paymentsId, shopId, strangerId] = ['payments', 'shop', 'stranger'].map((name) => `spiffe://example.org/${name}`)

/** The next event of this name. */
const next = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve))

/** How a client sees a server that hangs up in the middle of the handshake, or right after it. */
const cutOff = /^(ECONNRESET|EPIPE|EPROTO|ERR_SSL_\w+)$/

/** An agent for one test, the service, and `call`, which asks it in somebody's name. */
async function start(t) {
  const agent = await TestAgent.start({
    workloads: [paymentsId, shopId, strangerId],
    after: (cleanUp) => t.after(cleanUp),
  })
  const [payments, shop, stranger] = agent.workloads
  const open = async ({ endpoint }) => {
    const svid = await QuickStartSVID.create({ endpoint, files: false })
    t.after(() => svid.shutdown())
    return svid
  }
  const svid = await open(payments)
  const server = createPayments(svid).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address()

  /** The answer, or the status or the code with which the call was refused. */
  const call = async (caller) => {
    const agent = caller.httpsAgent({ authorize: paymentsId, keepAlive: false })
    try {
      const [response] = await once(get({ host: '127.0.0.1', port, agent }), 'response')
      return response.statusCode === 200 ? await text(response) : `status ${response.statusCode}`
    } catch (error) {
      return error.code
    } finally {
      agent.destroy()
    }
  }
  return { agent, svid, call, shop: await open(shop), stranger: await open(stranger) }
}

test('the shop may pay, a stranger may not', async (t) => {
  const { call, shop, stranger } = await start(t)
  assert.equal(await call(shop), `paid for ${shopId}`)
  assert.equal(await call(stranger), 'status 403')
})

test('a rotation disturbs nobody', async (t) => {
  const { agent, svid, call, shop } = await start(t)
  const rotated = next(svid, 'rotated')
  await agent.rotate()
  await rotated
  assert.equal(await call(shop), `paid for ${shopId}`)
})

test('the service lives on while its agent is away, and takes the next certificate when it is back', async (t) => {
  const { agent, svid, call, shop } = await start(t)
  const unavailable = next(svid, 'unavailable')
  await agent.die()
  await unavailable
  assert.equal(await call(shop), `paid for ${shopId}`)
  const rotated = next(svid, 'rotated')
  await agent.rotate()
  await agent.comeBack()
  await rotated
  assert.equal(svid.getX509Svid().serialNumber, agent.workloads[0].svid.serialNumber)
})

test('without its identity the service answers nobody', async (t) => {
  const { agent, svid, call, shop } = await start(t)
  const withdrawn = next(svid, 'withdrawn')
  agent.workloads[0].withdraw()
  await withdrawn
  assert.match(await call(shop), cutOff)
})

test('who shows a certificate that was revoked is refused', async (t) => {
  const { agent, svid, call, shop } = await start(t)
  const revoked = agent.workloads[1].svid
  const updated = next(svid.source, 'update')
  await agent.revoke(revoked)
  await updated
  assert.match(await call(shop), cutOff)
})
