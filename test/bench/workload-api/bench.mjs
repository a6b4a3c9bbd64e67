// What a workload gets from X509Source beside what it gets from grpc-js alone: three measurements, about nine minutes
// with 15 rounds.
import { measureLatency } from './latency.mjs'
import { measureMemory } from './memory.mjs'
import { measureOutage } from './outage.mjs'

export async function run(options) {
  // Neither a source nor an agent for tests keeps a process alive that waits for them.
  const hold = setInterval(() => undefined, 60_000)
  try {
    return [await measureLatency(options), await measureMemory(options), await measureOutage(options)]
  } finally {
    clearInterval(hold)
  }
}
