import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)
let directory: string
const children: ChildProcess[] = []

/** A project beside the repository, with the built package and the frameworks installed as a user has them. */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'readme-'))
  await mkdir(join(directory, 'node_modules'))
  await symlink(root, join(directory, 'node_modules/authsec-sdk'))
  for (const name of ['@grpc', '@types', 'express', 'fastify', 'undici', 'vitest']) {
    await symlink(join(root, 'node_modules', name), join(directory, 'node_modules', name))
  }
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }')
  for (const [, block = ''] of (await readFile(join(root, 'README.md'), 'utf8')).matchAll(/```js\n([^]*?)```/g)) {
    const name = /^\/\/ (\w+\.js)\n/.exec(block)?.[1]
    if (!name) throw new Error(`a code block of the README does not start with its file name: ${block.slice(0, 60)}`)
    await writeFile(join(directory, name), block)
  }
  // The pages of docs/ show some blocks that only make sense with their surroundings; whole modules are compiled.
  for (const page of await readdir(join(root, 'docs'))) {
    if (!page.endsWith('.md')) continue
    const text = await readFile(join(root, 'docs', page), 'utf8')
    for (const [index, [, block = '']] of [...text.matchAll(/```js\n([^]*?)```/g)].entries()) {
      if (block.startsWith('import ')) await writeFile(join(directory, `${page}-${index}.js`), block)
    }
  }
})

afterAll(async () => {
  for (const child of children) child.kill()
  await rm(directory, { recursive: true, force: true })
})

function start(script: string, env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [script], {
    cwd: directory,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  return child
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until something listens there: the server of the README prints nothing. */
async function accepts(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const listening = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (listening) return
    await sleep(20)
  }
}

test('the code blocks of the README and the modules of docs compile', async () => {
  const config = {
    compilerOptions: {
      allowJs: true,
      checkJs: true,
      noEmit: true,
      strict: true,
      module: 'nodenext',
      target: 'es2023',
      lib: ['es2023'],
      types: ['node'],
    },
    include: ['*.js'],
  }
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { stdout } = await run(process.execPath, [tsc, '-p', directory]).catch(
    (error: unknown) => error as { stdout: string },
  )
  expect(stdout).toBe('')
}, 60_000)

test('the code blocks of the README run: agent, server and client', async () => {
  const agent = start('agent.js', {})
  const endpoints: Record<string, string> = {}
  for await (const line of createInterface({ input: agent.stdout! })) {
    const [, name, endpoint] = /^(\w+): SPIFFE_ENDPOINT_SOCKET=(.+)$/.exec(line) ?? []
    endpoints[name!] = endpoint!
    if (Object.keys(endpoints).length === 2) break
  }
  const port = await freePort()
  start('server.js', { SPIFFE_ENDPOINT_SOCKET: endpoints['payments']!, PORT: String(port) })
  await accepts(port)
  const client = start('client.js', {
    SPIFFE_ENDPOINT_SOCKET: endpoints['shop']!,
    PAYMENTS_URL: `https://127.0.0.1:${port}`,
  })
  let output = ''
  client.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(client, 'close')) as [number]
  expect(output).toContain("{ paid: true, caller: 'spiffe://example.org/shop' }")
  expect(code).toBe(0)
})
