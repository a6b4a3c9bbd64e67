import { createServer } from 'node:http'
import { QuickStartSVID } from 'authsec-sdk'

// Probes are answered from the first moment on; the identity comes when the agent is there.
const svid = await QuickStartSVID.initialize({ wait: false })
const [ready, healthy] = [svid.readinessHandler(), svid.livenessHandler()]

// Probes carry no SVID, so they have a port of their own.
const probes = createServer((request, response) => {
  if (request.url === '/ready') ready(request, response)
  else if (request.url === '/healthz') healthy(request, response)
  else response.writeHead(404).end()
})
probes.listen(process.env.PROBE_PORT ?? 8080, () => console.log('probes are answered'))

svid.on('ready', () => console.log(`this process is ${svid.spiffeId}`))
svid.on('unavailable', (error) => console.warn(error.message))
svid.on('restored', () => console.log('the agent is back'))
