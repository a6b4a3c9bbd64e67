import { once } from 'node:events'
import * as tls from 'node:tls'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { gullible } from '../tls/network.js'
import { TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'
import { frame, postToA, preface } from './frames.js'
import { http2ServerKinds } from './h2.js'
import { serverKinds, type ServerKind } from './kinds.js'

let a: TestCa
let stranger: Credential

beforeAll(async () => {
  a = await TestCa.create()
  stranger = await a.leaf({ uris: ['spiffe://a.test/stranger'] })
})

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
})

/** Connects as a stranger, and resolves once the server has found that out. */
async function intrude(kind: ServerKind) {
  const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
  const { port, rejected, handled } = await kind.start(source, { authorize: 'spiffe://a.test/client' })
  const socket = tls.connect({ ...gullible(stranger), port, ALPNProtocols: ['h2', 'http/1.1'] })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  // However it ends: a reset is fine.
  const closed = new Promise((resolve) => socket.resume().once('close', resolve))
  await once(socket, 'secureConnect')
  await expect.poll(() => rejected).toEqual(['ERR_PEER_NOT_AUTHORIZED'])
  return { socket, handled, closed }
}

// Where routes alone decide, the server admits every member, and a connection is nobody's to hold or to lose.
const refusing = serverKinds.filter(({ name }) => name !== 'express, by route alone')

describe('a proved peer that is not authorized cannot stay', () => {
  for (const kind of refusing)
    test(`on ${kind.name}, saying nothing`, async () => {
      const { handled, closed } = await intrude(kind)
      vi.advanceTimersByTime(5_000)
      await closed
      expect(handled).toEqual([])
    })

  for (const kind of http2ServerKinds)
    test(`on ${kind.name}, with a request that never ends and pings`, async () => {
      const { socket, handled, closed } = await intrude(kind)
      socket.write(Buffer.concat([preface, frame('SETTINGS', 0), frame('HEADERS', 1, postToA)]))
      // A refusal of the frames alone would be shorter.
      await expect.poll(() => socket.bytesRead).toBeGreaterThan(80)
      for (let second = 0; second < 5; second++) {
        socket.write(frame('PING', 0, Array<number>(8).fill(second)))
        vi.advanceTimersByTime(1_000)
      }
      await closed
      expect(handled).toEqual([])
    })
})
