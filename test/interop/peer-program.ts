import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { X509Bundle } from '../../src/bundle/index.js'
import type { X509Svid } from '../../src/svid/index.js'

/** A directory that other users may pass through, until the test ends. */
export async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'peer-'))
  await chmod(directory, 0o755)
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** An identity as the options of most programs want it. */
export async function writeIdentity(directory: string, svid: X509Svid, bundle: X509Bundle) {
  const [cert, key, ca] = ['cert.pem', 'key.pem', 'ca.pem'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  await writeFile(key, svid.privateKeyPem(), { mode: 0o600 })
  await writeFile(cert, svid.certificatesPem())
  await writeFile(ca, bundle.toPem())
  return { cert, key, ca }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Runs a program to its end; what it said and how it ended, which may be badly. */
export function runToEnd(command: string, args: readonly string[], input = '') {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(command, args, { timeout: 20_000 })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdin.on('error', () => undefined).end(input)
    child.on('error', reject).on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** Starts a server program and waits until it accepts connections; it ends with the test. */
export async function startServer(command: string, args: readonly string[], port: number) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said += text))
  }
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.on('error', (error) => (said += error.message))
  onTestFinished(async () => {
    child.kill('SIGTERM')
    await exit
  })
  const patience = Date.now() + 20_000
  for (;;) {
    const { code } = await runToEnd('sh', ['-c', `ss -ltn | grep -q 127.0.0.1:${port}`])
    if (code === 0) return { child, said: () => said }
    if (child.exitCode !== null || Date.now() > patience) throw new Error(`${command} does not listen: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
