import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { TestTrustDomain } from '../../src/dev/testing/index.js'
import { denied, encode, Issuer, refuse, ScriptedAgent, startRawServer } from '../workload-api/scripted-agent.js'

// What a caller awaits holds the process, nothing else does: only another process can show it.

let directory: string
let issuer: Issuer
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  issuer = await Issuer.create()
  directory = mkdtempSync(join(tmpdir(), 'source-process-'))
  await build({
    entryPoints: [join(import.meta.dirname, '../../src/source/index.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(directory, 'source.mjs'),
    logLevel: 'error',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
  })
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

interface Run {
  /** Resolves when the script has printed this line; the time is taken there. */
  printed: (line: string) => Promise<void>
  ended: Promise<{ code: number | null; stdout: string; stderr: string; afterLastLineMs: number }>
}

function run(script: string, ...args: string[]): Run {
  const source = `import { BundleSource, JwtSource, X509Source } from ${JSON.stringify(join(directory, 'source.mjs'))}\nconst [, endpoint] = process.argv\n${script}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, '--', ...args], { stdio: 'pipe' })
  const killer = setTimeout(() => child.kill('SIGKILL'), 15_000)
  let stdout = ''
  let stderr = ''
  let lastLineAt = performance.now()
  const waiting = new Map<string, () => void>()
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    lastLineAt = performance.now()
    for (const line of stdout.split('\n')) waiting.get(line)?.()
  })
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  return {
    printed: (line) =>
      new Promise((resolve) => {
        waiting.set(line, resolve)
        if (stdout.split('\n').includes(line)) resolve()
      }),
    ended: new Promise((resolve) => {
      child.on('close', (code) => {
        clearTimeout(killer)
        resolve({ code, stdout, stderr, afterLastLineMs: performance.now() - lastLineAt })
      })
    }),
  }
}

async function startAgent(options: { tcp?: boolean } = {}): Promise<ScriptedAgent> {
  const svid = await issuer.issue()
  const agent = await ScriptedAgent.start({ FetchX509SVID: (call) => call.write(issuer.message([svid])) }, options)
  cleanups.push(() => agent.close())
  return agent
}

for (const tcp of [false, true])
  test(`a script that opened a source over ${tcp ? 'tcp' : 'a Unix socket'} and ends, ends at once`, async () => {
    const agent = await startAgent({ tcp })
    const { ended } = run(
      'const source = await X509Source.open({ endpoint }); console.log(source.getX509Svid().id.path)',
      tcp ? agent.tcpEndpoint : agent.endpoint,
    )
    const { code, stdout, stderr, afterLastLineMs } = await ended
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '/web\n', stderr: '' })
    expect(afterLastLineMs).toBeLessThan(1_000)
  })

test('open() holds the process until its deadline, and then rejects', async () => {
  const silent = await startRawServer()
  cleanups.push(silent.close)
  const { ended } = run(
    'try { await X509Source.open({ endpoint, initialTimeoutMs: 700 }) } catch (error) { console.log(error.code) }',
    silent.endpoint,
  )
  expect(await ended).toMatchObject({ code: 0, stdout: 'ERR_TIMEOUT\n' })
})

test('a script that does not catch the rejection of open() exits non-zero', async () => {
  const { ended } = run('await X509Source.open({ endpoint, initialTimeoutMs: 200 })', `unix://${directory}/nobody.sock`)
  const { code, stderr } = await ended
  expect(code).toBe(1)
  expect(stderr).toContain('ERR_WORKLOAD_API_UNAVAILABLE')
})

/** Opens, is kept alive by a timer until the stream has broken, and then has nothing left to live for. */
const liveUntilRetry = `
  const source = await X509Source.open({ endpoint })
  const timer = setTimeout(() => undefined, 60_000)
  console.log('open')
  await new Promise((resolve) => source.once('retry', resolve))
  await new Promise((resolve) => setTimeout(resolve, 300))
  clearTimeout(timer)
  console.log(source.status().state)
`

test('a source that reconnects to an agent that is away does not hold the process', async () => {
  const agent = await startAgent()
  const { printed, ended } = run(liveUntilRetry, agent.endpoint)
  await printed('open')
  await agent.die()
  const { code, stdout, afterLastLineMs } = await ended
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'open\nreconnecting\n' })
  expect(afterLastLineMs).toBeLessThan(1_000)
})

for (const tcp of [false, true])
  test(`a source whose agent accepts connections over ${tcp ? 'tcp' : 'a Unix socket'} and is stuck does not hold the process`, async () => {
    const agent = await startAgent({ tcp })
    const { printed, ended } = run(liveUntilRetry, tcp ? agent.tcpEndpoint : agent.endpoint)
    await printed('open')
    await agent.die()
    const sockets = new Set<Socket>()
    const stuck = createServer((socket) => sockets.add(socket))
    const port = Number(agent.tcpEndpoint.split(':')[2])
    await new Promise<void>((resolve) =>
      tcp ? stuck.listen(port, '127.0.0.1', resolve) : stuck.listen(agent.path, resolve),
    )
    cleanups.push(() => new Promise((resolve) => stuck.close(resolve)))
    const { code, stdout, afterLastLineMs } = await ended
    for (const socket of sockets) socket.destroy()
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'open\nreconnecting\n' })
    expect(afterLastLineMs).toBeLessThan(1_000)
    expect(sockets.size).toBeGreaterThan(0)
  })

test('a source whose agent does not even take its TCP connection does not hold the process', async () => {
  const agent = await startAgent({ tcp: true })
  const { printed, ended } = run(liveUntilRetry, agent.tcpEndpoint)
  await printed('open')
  await agent.die()
  // A listener that is stopped and whose queue is full: the kernel drops what else wants to connect.
  const port = Number(agent.tcpEndpoint.split(':')[2])
  const listener = spawn(
    process.execPath,
    [
      '-e',
      `require('net').createServer().listen({ port: ${port}, host: '127.0.0.1', backlog: 1 }, () => console.log('up'))`,
    ],
    { stdio: 'pipe' },
  )
  cleanups.push(async () => {
    const closed = new Promise((resolve) => listener.once('close', resolve))
    listener.kill('SIGKILL')
    await closed
  })
  await new Promise((resolve) => listener.stdout.once('data', resolve))
  listener.kill('SIGSTOP')
  const fillers = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  cleanups.push(() => {
    for (const socket of fillers) socket.destroy()
    return Promise.resolve()
  })
  const { code, stdout, afterLastLineMs } = await ended
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'open\nreconnecting\n' })
  expect(afterLastLineMs).toBeLessThan(1_500)
})

test('an iteration in progress holds the process until its value comes', async () => {
  const agent = await startAgent()
  const { printed, ended } = run(
    `const source = await X509Source.open({ endpoint })
     let seen = 0
     for await (const { svids } of source.updates()) { console.log(svids[0].id.path); if (++seen === 2) break }`,
    agent.endpoint,
  )
  await printed('/web')
  agent.send(issuer.message([await issuer.issue('/next')]))
  expect(await ended).toMatchObject({ code: 0, stdout: '/web\n/next\n' })
})

test('neither a source of JWT-SVIDs, nor a renewal that nobody waits for, nor a source of bundles holds the process', async () => {
  const td = new TestTrustDomain('example.org')
  const keys = Buffer.from(JSON.stringify(td.jwtBundle()))
  const agent = await ScriptedAgent.start({
    FetchX509SVID: (call) => refuse(call, denied),
    FetchX509Bundles: (call) =>
      call.write(encode('X509BundlesResponse', { bundles: { 'spiffe://example.org': td.bundle().toDer() } })),
    FetchJWTBundles: (call) => call.write(encode('JWTBundlesResponse', { bundles: { 'spiffe://example.org': keys } })),
    // The renewal is never answered.
    FetchJWTSVID: (_request, nth) =>
      nth > 0
        ? undefined
        : encode('JWTSVIDResponse', { svids: [{ spiffeId: 'spiffe://example.org/w', svid: td.token() }] }),
  })
  cleanups.push(() => agent.close())
  const { ended } = run(
    `let ahead = 0
    const source = await JwtSource.open({ endpoint, now: () => new Date(Date.now() + ahead) })
    const bundles = await BundleSource.open({ endpoint })
    const svid = await source.getJwtSvid('a')
    ahead = 200_000
    const same = (await source.getJwtSvid('a')) === svid
    await new Promise((resolve) => setTimeout(resolve, 100))
    console.log(same, bundles.snapshot.x509Bundles.size)`,
    agent.endpoint,
  )
  const { code, stdout, stderr, afterLastLineMs } = await ended
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'true 1\n', stderr: '' })
  expect(afterLastLineMs).toBeLessThan(1_000)
  expect(agent.count('FetchJWTSVID')).toBe(2)
})
