import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, expect, test } from 'vitest'
import { Issuer, ScriptedAgent } from '../workload-api/scripted-agent.js'

const directory = mkdtempSync(join(tmpdir(), 'source-memory-'))
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

test('ten thousand updates leave less than 10 MiB behind', { timeout: 90_000 }, async () => {
  await build({
    entryPoints: [join(import.meta.dirname, '../../src/source/index.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(directory, 'source.mjs'),
    logLevel: 'error',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
  })
  const issuer = await Issuer.create()
  const messages = await Promise.all(['/a', '/b'].map(async (path) => issuer.message([await issuer.issue(path)])))
  const at = (index: number) => messages[index % 2] ?? Buffer.alloc(0)
  let sent = 0
  const agent = await ScriptedAgent.start({ FetchX509SVID: (call) => call.write(at(sent++)) })
  const script = `
    import { X509Source } from ${JSON.stringify(join(directory, 'source.mjs'))}
    const source = await X509Source.open({ endpoint: ${JSON.stringify(agent.endpoint)} })
    const reach = async (count) => {
      process.stdout.write(count + '\\n')
      while (source.status().messages.updates < count) await new Promise((resolve) => setTimeout(resolve, 20))
      // A busy machine takes its time to give back what the collector has freed.
      let least = Infinity
      for (let round = 0; round < 30; round++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 50))
        least = Math.min(least, process.memoryUsage().rss)
      }
      return least
    }
    // The first two thousand warm up: code is compiled, heaps reach their size.
    const before = await reach(2_000)
    const after = await reach(12_000)
    process.stdout.write('grew ' + (after - before) + '\\n')
    await source.close()`
  // The young generation of one size: V8 lets it grow with the pace of messages, and that is not what they leave.
  const flags = ['--expose-gc', '--max-semi-space-size=1', '--input-type=module', '-e', script]
  const child = spawn(process.execPath, flags, { stdio: 'pipe' })
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    const target = Number(stdout.trim().split('\n').at(-1))
    for (; sent < target; sent++) agent.send(at(sent))
  })
  await new Promise((resolve) => child.once('close', resolve))
  await agent.close()
  expect(stderr).toBe('')
  const grew = Number(/^grew (-?\d+)$/m.exec(stdout)?.[1])
  expect(grew).toBeLessThan(10 * 1024 * 1024)
})
