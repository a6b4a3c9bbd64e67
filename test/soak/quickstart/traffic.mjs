import { createHash } from 'node:crypto'
import { request as httpsRequest } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDispatcher } from 'authsec-sdk/undici'
import { request as undiciRequest } from 'undici'

/** Answers with the hash of what was sent, and as many bytes as it was asked for. */
export async function answer(request, response) {
  const body = await buffer(request)
  response.setHeader('x-hash', hashOf(body))
  response.end(Buffer.alloc(Number(request.headers['x-answer-bytes'])))
}

/** Calls made over and over with both clients until the signal; what they came to is in `counts`. */
export function startTraffic({ svid, url, authorize, random, signal, workers }) {
  const agent = svid.httpsAgent({ authorize, keepAlive: true })
  const dispatcher = createDispatcher(svid, { authorize })
  const counts = { https: 0, undici: 0, failed: 0, failures: {} }
  const work = async (client, call) => {
    while (!signal.aborted) {
      const body = Buffer.alloc(Math.floor(random() ** 3 * 60_000), Math.floor(random() * 256))
      const answerBytes = Math.floor(random() ** 3 * 60_000)
      try {
        const { status, hash, received } = await call(body, { 'x-answer-bytes': String(answerBytes) })
        if (status !== 200 || hash !== hashOf(body) || received !== answerBytes) {
          throw new Error(`answered ${status} with ${received} of ${answerBytes} bytes`)
        }
        counts[client]++
      } catch (error) {
        counts.failed++
        const reason = `${client}: ${error.cause?.code ?? error.code ?? ''} ${error.message}`
        counts.failures[reason] = (counts.failures[reason] ?? 0) + 1
      }
      // Some connections rest long enough to be retired while idle.
      await sleep(random() < 0.02 ? 1_500 : random() * 40)
    }
  }
  const running = []
  for (let worker = 0; worker < workers; worker++) {
    running.push(work('https', (body, headers) => callByHttps(url, agent, body, headers)))
    running.push(work('undici', (body, headers) => callByUndici(url, dispatcher, body, headers)))
  }
  const ended = Promise.all(running).then(async () => {
    agent.destroy()
    await dispatcher.close()
  })
  return { counts, ended }
}

function callByHttps(url, agent, body, headers) {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, { method: 'POST', agent, headers, timeout: 10_000 }, (response) => {
      const { statusCode: status, headers } = response
      buffer(response).then(({ length: received }) => resolve({ status, hash: headers['x-hash'], received }), reject)
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 10 s')))
    request.on('error', reject)
    request.end(body)
  })
}

async function callByUndici(url, dispatcher, body, headers) {
  const response = await undiciRequest(url, { method: 'POST', dispatcher, headers, body, headersTimeout: 10_000 })
  const received = (await response.body.arrayBuffer()).byteLength
  return { status: response.statusCode, hash: response.headers['x-hash'], received }
}

function hashOf(body) {
  return createHash('sha256').update(body).digest('base64')
}
