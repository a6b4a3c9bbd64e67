import { once } from 'node:events'
import { get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { createHttpsServer, SpiffeHttpsAgent } from '../../src/adapters/https/index.js'
import type { X509Bundle } from '../../src/bundle/index.js'
import type { X509Svid } from '../../src/svid/index.js'
import { authorizeAny } from '../../src/tls/index.js'

/** Whoever holds this SVID, rightly or not; it asks nothing of the other side beyond a proof against `bundle`. */
export class Impostor {
  readonly #identity

  constructor(svid: X509Svid, bundle: X509Bundle) {
    this.#identity = { getX509Svid: () => svid, getX509Bundle: () => bundle }
  }

  /** GET with this SVID. */
  async call(url: string): Promise<{ status: number | undefined; body: string }> {
    const agent = new SpiffeHttpsAgent(this.#identity, { authorize: authorizeAny(), keepAlive: false })
    try {
      return await new Promise((resolve, reject) => {
        get(url, { agent }, (response) => {
          text(response).then((body) => resolve({ status: response.statusCode, body }), reject)
        }).once('error', reject)
      })
    } finally {
      agent.destroy()
    }
  }

  /** Serves with this SVID while `work` runs. */
  async serveDuring<T>(work: (url: string) => Promise<T>): Promise<T> {
    const server = createHttpsServer(this.#identity, { authorize: authorizeAny() }, (_request, response) => {
      response.end(JSON.stringify({ by: 'the impostor' }))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      return await work(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    } finally {
      server.close()
      server.closeAllConnections()
    }
  }
}
