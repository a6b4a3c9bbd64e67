import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { GoProgram } from './go-workload.js'
import { type Message, Program } from './program.js'

/** What go-spiffe reads, writes, proves and refuses: `go-spiffe/identity`. Bytes travel as base64. */
export class GoIdentity extends Program {
  #program: GoProgram | undefined

  static async start(): Promise<GoIdentity> {
    const program = await GoProgram.build('./identity')
    const child = spawn(program.path, { stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.on('error', () => undefined)
    const identity = new GoIdentity(child)
    identity.#program = program
    createInterface(child.stdout).on('line', (line) => identity.take(JSON.parse(line) as Message))
    return identity
  }

  /** Whether it takes this. Its reason to refuse is its own affair; that it answers at all is not. */
  async takes(task: string, input: object): Promise<boolean> {
    try {
      await this.ask(task, input)
      return true
    } catch (error) {
      // A program that ended, or does not answer, is told by another message.
      if ((error as Error).message.startsWith('expected the answer')) throw error
      return false
    }
  }

  override async stop(): Promise<void> {
    await super.stop()
    await this.#program?.[Symbol.asyncDispose]()
  }

  protected override send(message: object, failed: (reason: string) => void): void {
    this.child.stdin!.write(`${JSON.stringify(message)}\n`, (error) => {
      if (error) failed(error.message)
    })
  }

  protected override hangUp(): void {
    this.child.stdin!.end()
  }
}

export function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as Uint8Array).toString('base64')
}

export function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'base64')
}
