import { existsSync, readdirSync } from 'node:fs'
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
