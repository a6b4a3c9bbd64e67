// node --expose-gc follow-updates.mjs PACKAGE ENDPOINT WARM-UP UPDATES: follows the agent, and prints by how many MiB
// the process has grown with UPDATES updates after WARM-UP others, without its garbage.
const [, , entry, endpoint, warmUp, updates] = process.argv
const { X509Source } = await import(entry)

async function measure() {
  // Again after a pause: what a finalizer lets go is garbage of the next round.
  for (let round = 0; round < 3; round++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { rss, heapUsed } = process.memoryUsage()
  return { rss, heapUsed }
}

const source = X509Source.start({ endpoint })
const until = async (count) => {
  for (const updates = source.updates(); source.status().messages.updates < count;) await updates.next()
}
await until(Number(warmUp))
const before = await measure()
await until(Number(warmUp) + Number(updates))
const after = await measure()
const grown = (name) => (after[name] - before[name]) / 1024 / 1024
process.stdout.write(
  JSON.stringify({ resident: grown('rss'), heap: grown('heapUsed'), messages: source.status().messages }),
)
await source.close()
