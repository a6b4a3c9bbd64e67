// From the agent's write to the moment at which the program can use the new snapshot, in a process of its own.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { interleave, median, summarize } from '../statistics.mjs'
import { makeMessages, startScriptedAgent } from './scripted-agent.mjs'

const messagesPerRound = 40
const program = fileURLToPath(new URL('follow.mjs', import.meta.url))

/** A program that stays for all rounds, so that its code is warm. */
async function startFollower(kind, messages) {
  let sent = 0
  let stream
  let arrived
  const agent = await startScriptedAgent((call) => {
    stream = call
    send()
  })
  const send = () => stream.write(messages[sent++ % messages.length])
  let failed
  const first = new Promise((resolve, reject) => {
    arrived = resolve
    failed = reject
  })
  const child = spawn(process.execPath, [program, kind, 'tell'], {
    env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: agent.endpoint },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.once('exit', (code) => failed(new Error(`follow.mjs ${kind} ended with ${code}`)))
  createInterface({ input: child.stdout }).on('line', (line) => arrived(BigInt(line)))
  await first
  return {
    /** Median of a round's messages, in milliseconds; all processes of a machine share the clock. */
    sample: async () => {
      const times = []
      while (times.length < messagesPerRound) {
        const usable = new Promise((resolve) => (arrived = resolve))
        const begin = process.hrtime.bigint()
        send()
        times.push(Number((await usable) - begin) / 1e6)
      }
      return median(times)
    },
    close: async () => {
      child.kill()
      await agent.close()
    },
  }
}

export async function measureLatency({ rounds }) {
  const messages = await makeMessages(50)
  const followers = []
  const start = async (kind) => {
    followers.push(await startFollower(kind, messages))
    return followers.at(-1).sample
  }
  try {
    const baseline = 'grpc-js, bytes as they are'
    const samples = await interleave(
      {
        [baseline]: await start('bytes'),
        'grpc-js, proto-loader': await start('loader'),
        'X509Source, all verified': await start('source'),
      },
      rounds,
    )
    return { name: 'workload-api: message to new snapshot', unit: 'ms', baseline, rows: summarize(samples, baseline) }
  } finally {
    for (const follower of followers) await follower.close()
  }
}
