import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '../..')
export const examples = join(root, 'examples')

/** A program that was started, and what it has printed up to now. */
export interface Started {
  readonly child: ChildProcess
  readonly output: () => string
  /** Waits until it has printed this; rejects with its output when it ends before. */
  prints(text: string): Promise<void>
  /** Waits for its end. */
  ended(): Promise<{ code: number | null; output: string }>
}

/** Examples as their readers have them: copied out of the repository, beside the packages that they name. */
export class ExampleProjects {
  readonly #made: string[] = []
  readonly #children: ChildProcess[] = []

  /** @returns The directory of the copy. */
  async install(name: string, elsewhere: Readonly<Record<string, string>> = {}): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), `example-${name}-`))
    this.#made.push(directory)
    await cp(join(examples, name), directory, { recursive: true })
    const { dependencies } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    for (const dependency of Object.keys(dependencies)) {
      const target = dependency === 'authsec-sdk' ? root : join(root, 'node_modules', dependency)
      const link = join(directory, 'node_modules', dependency)
      await mkdir(dirname(link), { recursive: true })
      await symlink(elsewhere[dependency] ?? target, link)
    }
    return directory
  }

  start(directory: string, script: string, env: Record<string, string>, args: readonly string[] = []): Started {
    const child = spawn(process.execPath, [script, ...args], {
      cwd: directory,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#children.push(child)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    }
    const closed = once(child, 'close') as Promise<[number | null]>
    return {
      child,
      output: () => output,
      prints: async (text) => {
        while (!output.includes(text)) {
          const more = once(child.stdout, 'data').then(() => true)
          if (!(await Promise.race([more, closed.then(() => false)])) && !output.includes(text)) {
            throw new Error(`${script} ended without printing ${JSON.stringify(text)}:\n${output}`)
          }
        }
      },
      ended: async () => {
        const [code] = await closed
        return { code, output }
      },
    }
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    for (const directory of this.#made) await rm(directory, { recursive: true, force: true })
  }
}

/** The names of all examples but the demo, which has a test of its own. */
export async function exampleNames(): Promise<string[]> {
  const entries = await readdir(examples, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory() && entry.name !== 'demo').map(({ name }) => name)
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
