// The impostor: holds a certificate with the payment service's SPIFFE ID, minted by the CA of a federated trust domain.
// That CA is trusted by everyone here, for its own trust domain.
import { authorizeAny, X509Bundle, X509Svid, TrustDomain } from 'authsec-sdk'
import { createHttpsServer, SpiffeHttpsAgent } from 'authsec-sdk/https'
import { callJson } from './call.js'

process.on('message', async ({ seq, certificate, key, ca, urls }) => {
  const svid = X509Svid.parsePem(certificate, key)
  const bundle = X509Bundle.parsePem(TrustDomain.parse('demo.test'), ca)
  const stolen = { getX509Svid: () => svid, getX509Bundle: () => bundle }

  const server = createHttpsServer(stolen, { authorize: authorizeAny() }, (_request, response) => {
    response.end(JSON.stringify({ paid: 'to the impostor' }))
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))

  // As a client it is let down by nobody but inventory's check of its chain.
  const agent = new SpiffeHttpsAgent(stolen, { authorize: authorizeAny() })
  const asClient = await callJson(`${urls.inventory}/stock`, { agent }).catch(({ code, message }) => ({
    code,
    message,
  }))
  const value = { spiffeId: svid.id.toString(), asClient, url: `https://127.0.0.1:${server.address().port}` }
  process.send({ type: 'answer', seq, value })
})
process.on('disconnect', () => process.exit(0))
process.send({ type: 'ready', name: 'impostor', pid: process.pid })
