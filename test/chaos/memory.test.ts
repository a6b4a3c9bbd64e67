import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { buildForNode } from '../e2e/build-for-node.js'
import { ScriptedAgent, type StreamCall } from '../workload-api/scripted-agent.js'
import { makeGenerations } from './generations.js'

/** Writes the messages over and over, as fast as the reader takes them. */
function pump(call: StreamCall, messages: readonly Buffer[], from = 0): void {
  for (let n = from; !call.cancelled && !call.destroyed; n++) {
    if (call.write(messages[n % messages.length]!)) continue
    call.once('drain', () => pump(call, messages, n + 1))
    return
  }
}

// The full ten thousand are counted by `npm run bench -- workload-api`.
test('1 000 updates leave next to nothing behind', async () => {
  const { index } = await buildForNode()
  const messages = makeGenerations(50).map(({ message }) => message)
  const agent = await ScriptedAgent.start({ FetchX509SVID: (call) => pump(call, messages) })
  onTestFinished(() => agent.close())
  const program = join(import.meta.dirname, 'programs', 'follow-updates.mjs')
  const args = ['--expose-gc', program, index, agent.endpoint, '500', '1000']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const {
    resident,
    heap,
    messages: counts,
  } = JSON.parse(await text(child.stdout)) as {
    resident: number
    heap: number
    messages: { updates: number; discarded: number }
  }
  expect(counts.updates).toBeGreaterThanOrEqual(1_500)
  expect(counts.discarded).toBe(0)
  expect(resident).toBeLessThan(10)
  // Much finer than what the system counts as resident: 1 KiB for each update.
  expect(heap).toBeLessThan(1)
})
