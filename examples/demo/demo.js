// The main job, end to end: two services prove their identity to each other, survive a rotation and refuse a stranger.
//
//   npm run demo                       runs it; exit code 0 means that everything happened as shown
//   npm run demo -- --break=NAME       breaks one claim on purpose (authorizer, impostor, rotation, key-mode): must fail
import { chmodSync, statSync } from 'node:fs'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { DevAgent } from 'authsec-sdk/dev-agent'
import { TestTrustDomain } from 'authsec-sdk/testing'
import { ids } from './process.js'
import { startProcess, stopProcesses } from './director.js'
import { check, finish, heading, row, say, table } from './terminal.js'

const { values: flags } = parseArgs({ options: { break: { type: 'string', default: '' } } })
const started = Date.now()
const deadline = setTimeout(() => {
  check('the demo ended within 18 s', false)
  finish('gave up')
}, 18_000)

const agent = await DevAgent.start({ trustDomain: 'demo.test', svidTtlMs: 600_000 })
// A partner whose CA is trusted here, for its own trust domain.
const partner = new TestTrustDomain('partner.test')
try {
  agent.federateWith(partner.bundle())
  await run()
} catch (error) {
  check(`nothing went wrong on the way (${error.stack})`, false)
} finally {
  clearTimeout(deadline)
  await stopProcesses()
  await agent.close()
}
finish(`took ${((Date.now() - started) / 1000).toFixed(1)} s`)

async function run() {
  heading('The agent')
  for (const line of agent.description.split('\n')) say(line.trim())

  heading('Who is there')
  const start = async (name, ...args) => {
    const { endpoint } = await agent.workload(`spiffe://demo.test/${name}`)
    return startProcess(`${name}.js`, args, { SPIFFE_ENDPOINT_SOCKET: endpoint })
  }
  const listOf = (...callers) => (flags.break === 'authorizer' ? 'any' : callers.join(','))
  const [payments, inventory, client, stranger, impostor] = await Promise.all([
    start('payments', listOf(ids.client, ids.inventory)),
    start('inventory', listOf(ids.client, ids.payments)),
    start('client'),
    start('stranger'),
    startProcess('impostor.js', [], {}),
  ])
  const members = [payments, inventory, client, stranger]
  table(
    ['process', 'pid', 'SPIFFE ID', 'serial', 'expires'],
    members.map(({ hello }) => [hello.name, hello.pid, hello.spiffeId, short(hello.serial), hello.expiresAt]),
  )
  check(
    'each process has the identity that the agent knows it by',
    members.every(({ hello }) => hello.spiffeId === `spiffe://demo.test/${hello.name}`),
  )
  const urls = { payments: payments.hello.url, inventory: inventory.hello.url }

  heading('Calls that succeed')
  for (const [task, expected] of [
    ['https to payments', { paid: '42.00 EUR', caller: ids.client }],
    ['fetch to inventory', { stock: 7, caller: ids.client }],
    ['payments to inventory', { shipped: true, stock: { stock: 7, caller: ids.payments } }],
    ['inventory to payments', { billed: true, payment: { paid: '42.00 EUR', caller: ids.inventory } }],
  ]) {
    const { status, body } = await client.ask({ task, urls })
    row(task, `${status} ${JSON.stringify(body)}`)
    check(`${task}: answered, and the caller was named`, status === 200 && isDeepStrictEqual(body, expected))
  }

  heading('A stranger: a valid SVID of the same trust domain, not on the list')
  const refused = await stranger.ask({ urls })
  for (const [service, { status, body }] of Object.entries(refused)) {
    row(service, `${status} ${JSON.stringify(body)}`)
    check(`${service} answers the stranger 403`, status === 403)
  }

  heading("An impostor: the payment service's SPIFFE ID, minted by the CA of a federated trust domain")
  const stolen =
    flags.break === 'impostor'
      ? await agent.authority.issueX509Svid({ id: ids.payments })
      : partner.svid({ names: { uris: [ids.payments] } })
  const attempt = await impostor.ask({
    certificate: stolen.certificatesPem(),
    key: stolen.privateKeyPem(),
    ca: agent.authority.bundle().toPem(),
    urls,
  })
  row('its certificate says', attempt.spiffeId)
  row('as a client of inventory', attempt.asClient.code ?? JSON.stringify(attempt.asClient.body))
  check('inventory closes the connection before any request', attempt.asClient.code === 'ECONNRESET')
  const fooled = await client
    .ask({ task: 'https to a server that claims to be payments', url: attempt.url })
    .catch((error) => error)
  row('as a server to the client', fooled.code ?? JSON.stringify(fooled.body))
  check('the client refuses the server', fooled.code === 'ERR_X509_CHAIN_UNTRUSTED')

  heading('A rotation under continuous calls')
  await client.ask({ task: 'start load', urls })
  const before = payments.hello.serial
  await until(client, (load) => enough(load, before))
  const rotated = members.map((member) => member.next('rotated'))
  if (flags.break !== 'rotation') await agent.rotate()
  const news = await Promise.all(rotated).catch(() => members.map(({ hello }) => hello))
  const after = news[0].serial
  check(
    'every process has a new certificate',
    members.every(({ hello }, index) => hello.serial !== news[index].serial),
  )
  await until(client, (load) => enough(load, after))
  const load = await client.ask({ task: 'stop load' })
  table(
    ['process', 'serial before', 'serial after'],
    members.map(({ hello }, index) => [hello.name, short(hello.serial), short(news[index].serial)]),
  )
  table(
    ['payments showed', 'calls', 'new connections'],
    [before, after].map((serial) => [short(serial), load.calls[serial], load.connections[serial]]),
  )
  row('failed calls', load.failed)
  for (const failure of load.failures) say(failure)
  check('at least 200 calls and 20 new connections on either side', enough(load, before) && enough(load, after))
  check('no call failed', load.failed === 0 && load.total > 0)

  heading('The same identity on disk')
  const [directory, , key] = payments.hello.files
  if (flags.break === 'key-mode') chmodSync(key.path, 0o644)
  for (const { path } of payments.hello.files) row(modeOf(path), path)
  check('the directory is private (0700)', modeOf(directory.path) === '0700')
  check('the key is readable by its owner alone (0600)', modeOf(key.path) === '0600')
}

function enough({ calls, connections }, serial) {
  return calls[serial] >= 200 && connections[serial] >= 20
}

async function until(client, done) {
  const patience = Date.now() + 6_000
  for (;;) {
    const load = await client.ask({ task: 'look at load' })
    if (done(load)) return
    if (load.failed > 0 || Date.now() > patience) throw new Error(`the load stands still: ${JSON.stringify(load)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function short(serial) {
  return serial.length > 16 ? `${serial.slice(0, 16)}…` : serial
}

function modeOf(path) {
  return `0${(statSync(path).mode & 0o777).toString(8)}`
}
