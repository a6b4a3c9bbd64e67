// What is resident after 10 000 updates, without garbage, and by how much it has grown with them.
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { interleave, interval, median, summarize } from '../statistics.mjs'
import { makeMessages, startScriptedAgent } from './scripted-agent.mjs'

/** Until code is compiled and heaps have reached their size. */
const warmUp = 2_000
const updates = 10_000
/** Of one size: V8 lets it grow by 24 MiB with the pace of messages, and that is not what they leave. */
const youngGeneration = '--max-semi-space-size=1'
const program = fileURLToPath(new URL('follow.mjs', import.meta.url))

export async function measureMemory({ rounds }) {
  const messages = await makeMessages(50)
  /** Writes the messages over and over, as fast as the reader takes them. */
  const pump = (call, from = 0) => {
    for (let n = from; !call.cancelled && !call.destroyed; n++) {
      if (call.write(messages[n % messages.length])) continue
      call.once('drain', () => pump(call, n + 1))
      return
    }
  }
  const agent = await startScriptedAgent((call) => pump(call))
  const growth = {}
  const run = (name, kind) => async () => {
    const args = ['--expose-gc', youngGeneration, program, kind, 'grow', String(warmUp), String(updates)]
    const child = spawn(process.execPath, args, {
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: agent.endpoint },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const { before, after } = JSON.parse(await text(child.stdout))
    ;(growth[name] ??= []).push(after - before)
    return after
  }
  try {
    const baseline = 'grpc-js, proto-loader'
    const source = 'X509Source'
    const samples = await interleave({ [baseline]: run(baseline, 'loader'), [source]: run(source, 'source') }, rounds)
    // The first run of each is not counted.
    for (const values of Object.values(growth)) values.shift()
    const mib = (value) => value.toFixed(1)
    return {
      name: `workload-api: resident after ${updates} updates`,
      unit: 'MiB',
      baseline,
      rows: summarize(samples, baseline),
      growth,
      notes: Object.entries(growth).map(
        ([name, values]) =>
          `${name} grew by ${mib(median(values))} MiB (95 % ${interval(values).map(mib).join(' – ')}, most ${mib(Math.max(...values))})` +
          (name === source ? '; required: less than 10' : ''),
      ),
    }
  } finally {
    await agent.close()
  }
}
