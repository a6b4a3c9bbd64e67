// A workload as an application would write it: serves and calls over mutual TLS. Started as
//   node workload.mjs '{ "authorize": […], "options": { … } }'
import { subscribe } from 'node:diagnostics_channel'
import { QuickStartSVID } from 'authsec-sdk'
import { callerOfRequest } from 'authsec-sdk/https'
import { askAgent } from './ask-agent.mjs'
import { Caller, toAuthorize } from './caller.mjs'
import { answerTasks, describe, endWithTest, tell } from './channel.mjs'
import { Load } from './load.mjs'

const { authorize = 'any', options = {} } = JSON.parse(process.argv[2] ?? '{}')
const slowMs = 1_200

subscribe('spiffe:source:retry', ({ retry: { kind, attempt, delayMs } }) => tell('retry', { kind, attempt, delayMs }))
subscribe('spiffe:source:state', ({ state }) => tell('state', { state }))
subscribe('spiffe:tls:rejected', ({ error }) => tell('rejected', describe(error)))

const svid = await QuickStartSVID.initialize({ initialTimeoutMs: 60_000, ...options })
for (const name of ['rotated', 'withdrawn', 'restored', 'unavailable', 'expired', 'warning']) {
  svid.on(name, (detail) =>
    tell(name, detail instanceof Error ? describe(detail) : JSON.parse(JSON.stringify(detail ?? {}))),
  )
}

const server = svid.createHttpsServer({ authorize: toAuthorize(authorize) }, (request, response) => {
  const caller = callerOfRequest(request)
  const answer = () =>
    response.end(
      JSON.stringify({
        by: svid.spiffeId,
        caller: caller.id.toString(),
        callerSerial: caller.certificate.serialNumber,
      }),
    )
  if (request.url === '/slow') setTimeout(answer, slowMs)
  else answer()
})
server.listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))

const caller = new Caller(svid)
let load
answerTasks({
  call: (input) => caller.call(input),
  'start load': (input) => {
    load = new Load(caller, input)
  },
  'look at load': () => load.result,
  'stop load': () => load.stop(),
  status: () => svid.status(),
  'ask agent': (input) => askAgent(input),
  'fetch jwt': ({ audience }) => svid.fetchJwtSvid(audience),
  'validate jwt': ({ token, audience }) => svid.validateJwtSvid(token, audience),
})

endWithTest(async () => {
  server.close()
  server.closeAllConnections()
  caller.close()
  await svid.shutdown()
})
tell('ready', {
  spiffeId: svid.spiffeId,
  url: `https://127.0.0.1:${server.address().port}/`,
  pid: process.pid,
  hint: svid.getX509Svid().hint,
})
