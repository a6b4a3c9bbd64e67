import { request as httpsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { Client } from '@grpc/grpc-js'
import { createGrpcChannelCredentials } from 'authsec-sdk/grpc'
import { SpiffeHttp2Client } from 'authsec-sdk/http2'
import { SpiffeHttpsAgent } from 'authsec-sdk/https'
import { createTlsOptionsForClient } from 'authsec-sdk/tls'
import { createDispatcher } from 'authsec-sdk/undici'
import { request as undiciRequest } from 'undici'
import { ask } from './ask.mjs'

/** Long enough for a machine that is busy with other things: a request that fails is to mean something. */
const patienceMs = 60_000

/**
 * Each kind of client. `call()` resolves when the server has answered `in` and rejects otherwise; an answer that says no
 * rejects with its status as the code.
 * @type {Record<string, (source, authorize, port, who) => { call: () => Promise<void>, close: () => unknown }>}
 */
export const clients = {
  https(source, authorize, port, who) {
    const agent = new SpiffeHttpsAgent(source, { authorize })
    const call = () =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port, agent, headers: { 'x-who': who }, timeout: patienceMs }
        const request = httpsRequest(options, (response) => {
          text(response).then((body) => resolve(expectIn(response.statusCode, body)), reject)
        })
        request.on('timeout', () => request.destroy(new Error('no answer in time')))
        request.on('error', reject).end()
      })
    return { call: () => call().then(judge), close: () => agent.destroy() }
  },
  undici(source, authorize, port, who) {
    const dispatcher = createDispatcher(source, { authorize, connectTimeoutMs: patienceMs })
    const options = { dispatcher, headers: { 'x-who': who }, headersTimeout: patienceMs }
    const call = async () => {
      const { statusCode, body } = await undiciRequest(`https://127.0.0.1:${port}`, options)
      return judge(expectIn(statusCode, await body.text()))
    }
    return { call, close: () => dispatcher.destroy() }
  },
  fetch(source, authorize, port, who) {
    const dispatcher = createDispatcher(source, { authorize, connectTimeoutMs: patienceMs })
    const options = { dispatcher, headers: { 'x-who': who } }
    const call = async () => {
      const response = await fetch(`https://127.0.0.1:${port}`, options)
      return judge(expectIn(response.status, await response.text()))
    }
    return { call, close: () => dispatcher.destroy() }
  },
  http2(source, authorize, port, who) {
    const client = new SpiffeHttp2Client(source, `https://127.0.0.1:${port}`, { authorize })
    const call = () =>
      new Promise((resolve, reject) => {
        const stream = client.request({ 'x-who': who })
        let status
        // Not the stream's own timer, which outlives a stream that never got a session.
        const timer = setTimeout(() => stream.destroy(new Error('no answer in time')), patienceMs)
        stream.on('close', () => clearTimeout(timer))
        stream.on('response', (headers) => (status = headers[':status']))
        text(stream).then((body) => resolve(expectIn(status, body)), reject)
      })
    return { call: () => call().then(judge), close: () => client.destroy() }
  },
  grpc(source, authorize, port, who) {
    const client = new Client(`127.0.0.1:${port}`, createGrpcChannelCredentials(source, { authorize }))
    const { path, requestSerialize, responseDeserialize } = ask
    const call = () =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + patienceMs
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, who, { deadline }, (error, answer) => {
          if (error) reject(error)
          else resolve(expectIn(200, answer))
        })
      })
    return { call: () => call().then(judge), close: () => client.close() }
  },
  tls(source, authorize, port, who) {
    const options = { host: '127.0.0.1', port, ...createTlsOptionsForClient(source, { authorize }) }
    const call = () =>
      new Promise((resolve, reject) => {
        const socket = connect(options, () => socket.write(who))
        socket.setTimeout(patienceMs, () => socket.destroy(new Error('no answer in time')))
        let heard = ''
        socket.setEncoding('utf8').on('data', (chunk) => (heard += chunk))
        socket.on('error', reject).on('close', () => resolve(expectIn(socket.authorized ? 200 : 0, heard)))
      })
    return { call: () => call().then(judge), close: () => undefined }
  },
}

function expectIn(status, body) {
  if (status === 200 && body === 'in') return undefined
  return Object.assign(new Error(`answered ${status} with ${body.length} bytes`), { code: status })
}

function judge(error) {
  if (error) throw error
}

/** The code at the bottom of an error. */
export function codeOf(error) {
  if (!(error instanceof Error)) return 'unknown'
  const below =
    error.cause instanceof Error && !String(error.code).startsWith('ERR_X509') ? codeOf(error.cause) : undefined
  return below ?? error.code ?? error.message
}
