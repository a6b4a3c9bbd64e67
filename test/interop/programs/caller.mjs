// The calling half of a workload: one agent and one dispatcher for each server that it knows.
import { authorizeAny } from 'authsec-sdk'
import { SpiffeHttpsAgent } from 'authsec-sdk/https'
import { createDispatcher } from 'authsec-sdk/undici'
import { request as undiciRequest } from 'undici'
import { getJson } from './get-json.mjs'

/** As JSON knows it: a SPIFFE ID, a list of them, or `any`. */
export function toAuthorize(authorize) {
  return authorize === 'any' ? authorizeAny() : authorize
}

export class Caller {
  #svid
  #made = new Map()

  constructor(svid) {
    this.#svid = svid
  }

  /**
   * GET; `via` is `https`, `fetch` or `undici`, `fresh` is a connection of its own.
   * @returns The status, the JSON of the body, and of https the server's certificate and whether the socket was used before.
   */
  async call({ via, url, authorize, fresh = false }) {
    if (via === 'https') return getJson(url, this.#agent(authorize, !fresh))
    const dispatcher = this.#dispatcher(authorize, !fresh)
    if (via === 'undici') {
      const { statusCode, body } = await undiciRequest(url, { dispatcher })
      return { status: statusCode, body: await body.json() }
    }
    const answer = await fetch(url, { dispatcher })
    return { status: answer.status, body: await answer.json() }
  }

  close() {
    for (const thing of this.#made.values()) void thing.destroy()
  }

  #agent(authorize, keepAlive) {
    const make = () => new SpiffeHttpsAgent(this.#svid, { authorize: toAuthorize(authorize), keepAlive })
    return this.#once(`https ${keepAlive} ${authorize}`, make)
  }

  #dispatcher(authorize, keepAlive) {
    // Without pipelining undici asks for the end of each connection after its first request.
    const agentOptions = keepAlive ? {} : { pipelining: 0 }
    const make = () => createDispatcher(this.#svid, { authorize: toAuthorize(authorize), agentOptions })
    return this.#once(`undici ${keepAlive} ${authorize}`, make)
  }

  #once(name, make) {
    if (!this.#made.has(name)) this.#made.set(name, make())
    return this.#made.get(name)
  }
}
