// Full mTLS handshakes, one after the other, client and server in this process, so both sides' work counts.
import { once } from 'node:events'
import { connect, createSecureContext, createServer } from 'node:tls'
import { TestTrustDomain } from 'authsec-sdk/testing'
import { attachSpiffeToServer, createTlsOptionsForClient, createTlsOptionsForServer } from 'authsec-sdk/tls'
import { interleave, judge, summarize } from '../statistics.mjs'
import { anyName, clientId, listen, nativeIdentity, nativeProof, rate, serverId, sourceOf } from './world.mjs'

const perSample = 200

export async function measureHandshakes({ rounds }) {
  const federated = Array.from({ length: 1000 }, (_, at) => new TestTrustDomain(`td${at}.test`).bundle())
  const baseline = 'native, CAs in one list'
  const [two, many] = ['proved by us', 'proved by us, 1 000 federated trust domains']
  const samples = await interleave(
    { [baseline]: await native(), [two]: await ours(), [many]: await ours(federated) },
    rounds,
  )
  const rows = summarize(samples, baseline)
  const notes = [judge(two, rows[two].ratioInterval, 1), judge(many, rows[many].ratioInterval, 0.95)]
  return { title: 'full mTLS handshakes', unit: '1/s', baseline, rows, notes }
}

async function native() {
  const server = createServer({ ...nativeIdentity(serverId), ...nativeProof, noDelay: true }, answer)
  const secureContext = createSecureContext(nativeIdentity(clientId))
  const port = await listen(server)
  return rate(perSample, () => shake({ port, secureContext, ...anyName }))
}

async function ours(federated = []) {
  const source = sourceOf(serverId, federated)
  const server = createServer({ noDelay: true, ...createTlsOptionsForServer(source) }, answer)
  attachSpiffeToServer(server, source, { authorize: clientId })
  const port = await listen(server)
  const options = createTlsOptionsForClient(sourceOf(clientId, federated), { authorize: serverId })
  return rate(perSample, () => shake({ port, ...options }))
}

function answer(socket) {
  socket.on('error', () => undefined).end('in')
}

async function shake(options) {
  const socket = connect({ host: '127.0.0.1', ...options })
  // The server speaks once it has verified the client; waiting for anything later would measure delayed ACKs.
  await once(socket, 'data')
  socket.destroy()
}
