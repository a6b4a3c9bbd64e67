import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Message, Program } from './program.js'

/** A program of another language: what it tells and what it is told are lines of JSON. */
export class LineProgram extends Program {
  readonly #stdin: ChildProcessWithoutNullStreams['stdin']

  /** Starts it with an agent. */
  constructor(program: string, args: readonly string[], { endpoint }: { endpoint: string }) {
    const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: endpoint }
    const child = spawn(program, args, { env, stdio: 'pipe' })
    super(child)
    this.#stdin = child.stdin.on('error', () => undefined)
    createInterface(child.stdout).on('line', (line) => this.take(JSON.parse(line) as Message))
  }

  protected override send(message: object, failed: (reason: string) => void): void {
    this.#stdin.write(`${JSON.stringify(message)}\n`, (error) => {
      if (error) failed(error.message)
    })
  }

  protected override hangUp(): void {
    this.#stdin.end()
  }
}
