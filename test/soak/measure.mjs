import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

/** What this process holds once garbage is gone. */
export async function measure() {
  for (let round = 0; round < 3; round++) {
    gc()
    await turn()
  }
  const { heapUsed: heap, rss, external } = process.memoryUsage()
  return { heap, rss, external, handles: existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0 }
}

const schedule = '/proc/self/schedstat'

/**
 * How long the main thread has run, and how long it was ready to and had to wait for a processor, in seconds. Where the
 * system does not tell, it never waits.
 */
export function processorTime() {
  if (!existsSync(schedule)) return { ran: process.cpuUsage().user / 1e6, waited: 0 }
  const [ran, waited] = readFileSync(schedule, 'utf8')
    .split(' ')
    .map((ns) => Number(ns) / 1e9)
  return { ran, waited }
}

/** Of the time in which a process had something to do, the part in which it had a processor: 1 on a quiet machine. */
export function processorShare(begin, end) {
  const [ran, waited] = [end.ran - begin.ran, end.waited - begin.waited]
  return ran > 0 ? Math.round((ran / (ran + waited)) * 1000) / 1000 : 1
}
