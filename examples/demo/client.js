// The client: calls both services, once for show, then without a pause while every identity is rotated.
import { QuickStartSVID } from 'authsec-sdk'
import { createDispatcher } from 'authsec-sdk/undici'
import { callJson } from './call.js'
import { ids, introduce } from './process.js'

const svid = await QuickStartSVID.initialize()
const payments = svid.httpsAgent({ authorize: ids.payments })
const paymentsOnce = svid.httpsAgent({ authorize: ids.payments, keepAlive: false })
const inventory = createDispatcher(svid, { authorize: ids.inventory })

const fetchJson = async (url) => {
  const answer = await fetch(url, { dispatcher: inventory })
  return { status: answer.status, body: await answer.json() }
}

const tasks = {
  'https to payments': ({ urls }) => callJson(`${urls.payments}/pay`, { agent: payments }),
  'fetch to inventory': ({ urls }) => fetchJson(`${urls.inventory}/stock`),
  'payments to inventory': ({ urls }) =>
    callJson(`${urls.payments}/ship?inventory=${encodeURIComponent(urls.inventory)}`, { agent: payments }),
  'inventory to payments': ({ urls }) =>
    fetchJson(`${urls.inventory}/bill?payments=${encodeURIComponent(urls.payments)}`),
  // The address belongs to the impostor; we believe that payments lives there.
  'https to a server that claims to be payments': ({ url }) => callJson(url, { agent: paymentsOnce }),
}

let load
const newLoad = (urls) => ({ urls, on: true, failed: 0, failures: [], total: 0, calls: {}, connections: {} })

/** Calls until the director has seen enough; counts by the serial number of the certificate that payments showed. */
async function work() {
  let serial = 'unknown'
  for (let turn = 0; load.on; turn++) {
    try {
      const fresh = turn % 5 === 0
      const paid = await callJson(`${load.urls.payments}/pay`, { agent: fresh ? paymentsOnce : payments })
      const stock = await fetchJson(`${load.urls.inventory}/stock`)
      if (paid.status !== 200 || stock.status !== 200) throw new Error(`status ${paid.status} and ${stock.status}`)
      serial = paid.serial ?? serial
      load.total += 2
      load.calls[serial] = (load.calls[serial] ?? 0) + 2
      if (fresh) load.connections[serial] = (load.connections[serial] ?? 0) + 1
    } catch (error) {
      load.failed++
      load.failures.push(`${error.code ?? ''} ${error.message}`)
      load.on &&= load.failed < 50
    }
  }
}

async function run({ task, ...input }) {
  if (task === 'start load') {
    load = newLoad(input.urls)
    load.workers = [work(), work(), work()]
    return {}
  }
  if (task === 'look at load') {
    const { calls, connections, failed, total } = load
    return { calls, connections, failed, total }
  }
  if (task === 'stop load') {
    load.on = false
    await Promise.all(load.workers)
    const { calls, connections, failed, failures, total } = load
    return { calls, connections, failed, failures, total }
  }
  return tasks[task](input)
}

process.on('message', async ({ seq, ...request }) => {
  try {
    process.send({ type: 'answer', seq, value: await run(request) })
  } catch (error) {
    // fetch() wraps what went wrong in an error without a code.
    const { code, message } = error.code === undefined && error.cause ? error.cause : error
    process.send({ type: 'answer', seq, error: { code, message } })
  }
})
introduce('client', svid)
