import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { SpiffeError } from '../../src/errors/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'
import { temporaryDirectory } from '../files/temporary-directory.js'
import { startMisbehavingAgent, startRawServer } from './misbehaving-agent.js'
import type { misbehaviours } from './misbehaving-agent.js'

const initialTimeoutMs = 400

/** What initialize() rejects with, and after how long. */
async function failureOf(endpoint: string): Promise<{ error: SpiffeError; afterMs: number }> {
  const started = performance.now()
  const error: unknown = await QuickStartSVID.initialize({ endpoint, initialTimeoutMs }).then(
    () => 'it resolved',
    (reason: unknown) => reason,
  )
  if (!(error instanceof SpiffeError)) throw new Error(`expected a SpiffeError, found ${inspect(error)}`)
  return { error, afterMs: performance.now() - started }
}

async function expectFailure(endpoint: string, expected: object): Promise<void> {
  const { error, afterMs } = await failureOf(endpoint)
  expect(error).toMatchObject({ endpoint, ...expected })
  expect(error.message).toContain(endpoint)
  // The last words are advice.
  expect(error.message).toMatch(/(check|see|set|use|register|log|ask|start)/)
  expect(afterMs).toBeLessThan(initialTimeoutMs + 600)
  expect(inspect(error, { depth: 10 })).not.toMatch(/PRIVATE KEY|BEGIN CERT/)
  expect(() => QuickStartSVID.get()).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error)
}

async function socketPath(): Promise<string> {
  return join(await temporaryDirectory(), 'agent.sock')
}

describe('initialize rejects in time, with code, endpoint, status and advice, when', () => {
  test('there is no socket', async () => {
    await expectFailure(`unix://${await socketPath()}`, { code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
  })

  test('the directory of the socket is not there', async () => {
    await expectFailure(`unix://${join(await temporaryDirectory(), 'no', 'agent.sock')}`, {
      code: 'ERR_WORKLOAD_API_UNAVAILABLE',
    })
  })

  test('nobody listens on the socket', async () => {
    const path = await socketPath()
    // A file that is left of a server that died: connecting is refused.
    const { createServer } = await import('node:net')
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const { link } = await import('node:fs/promises')
    await link(path, `${path}.left`)
    await new Promise((resolve) => server.close(resolve))
    await expectFailure(`unix://${path}.left`, { code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
  })

  test('the path is that of a plain file', async () => {
    const path = await socketPath()
    writeFileSync(path, '')
    await expectFailure(`unix://${path}`, { code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
  })

  test('the path is that of a directory', async () => {
    const path = await socketPath()
    mkdirSync(path)
    await expectFailure(`unix://${path}`, { code: 'ERR_WORKLOAD_API_UNAVAILABLE' })
  })

  for (const [behaviour, expected] of [
    ['denies the workload', { code: 'ERR_WORKLOAD_API_DENIED', grpcStatus: 7 }],
    ['says that it is unavailable', { code: 'ERR_WORKLOAD_API_UNAVAILABLE', grpcStatus: 14 }],
    ['closes the stream without a message', { code: 'ERR_WORKLOAD_API_STREAM_ENDED' }],
    ['sends a message that is rubbish', { code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' }],
    ['sends a message without an SVID', { code: 'ERR_WORKLOAD_API_RESPONSE_INVALID' }],
    ['never answers', { code: 'ERR_TIMEOUT' }],
  ] satisfies [keyof typeof misbehaviours, object][])
    test(`the agent ${behaviour}`, async () => {
      const agent = await startMisbehavingAgent(await socketPath(), behaviour)
      try {
        await expectFailure(agent.endpoint, expected)
      } finally {
        await agent.close()
      }
    })

  for (const [reason, answer, code] of [
    ['says nothing at all', undefined, 'ERR_TIMEOUT'],
    ['answers in bytes that are no HTTP/2', '220 smtp ready\r\n', 'ERR_WORKLOAD_API_UNAVAILABLE'],
    ['answers in HTTP/1.1', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'ERR_WORKLOAD_API_UNAVAILABLE'],
  ] as const)
    test(`the server ${reason}`, async () => {
      const server = await startRawServer(await socketPath(), answer && Buffer.from(answer))
      try {
        await expectFailure(server.endpoint, { code })
      } finally {
        await server.close()
      }
    })
})

describe('initialize rejects at once, saying what is allowed, when the endpoint', () => {
  for (const [reason, endpoint] of [
    ['is empty', ''],
    ['has no scheme', '/run/spire/sockets/agent.sock'],
    ['is http', 'http://127.0.0.1:8081'],
    ['has a relative path', 'unix:run/agent.sock'],
    ['has a host name', 'tcp://localhost:8081'],
    ['has no port', 'tcp://127.0.0.1'],
  ] as const)
    test(reason, async () => {
      const { error, afterMs } = await failureOf(endpoint)
      expect(error.code).toBe('ERR_ENDPOINT_INVALID')
      expect(error.message).toContain('unix:///')
      expect(afterMs).toBeLessThan(300)
    })
})

test('a signal ends the wait with its own reason', async () => {
  const agent = await startMisbehavingAgent(await socketPath(), 'never answers')
  const controller = new AbortController()
  const reason = new Error('enough')
  try {
    const waiting = QuickStartSVID.initialize({ endpoint: agent.endpoint, signal: controller.signal })
    setImmediate(() => controller.abort(reason))
    await expect(waiting).rejects.toBe(reason)
    await expect(QuickStartSVID.initialize({ endpoint: agent.endpoint, signal: controller.signal })).rejects.toBe(
      reason,
    )
  } finally {
    await agent.close()
  }
})
