import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** For what makes RSA keys: a busy machine may take its time. */
export const patienceMs = 120_000

export interface OpensslAnswer {
  readonly code: number
  /** Standard output and standard error. */
  readonly said: string
}

/** The openssl command with a directory for its files. */
export class Openssl implements AsyncDisposable {
  readonly #program: string
  readonly #directory: string

  private constructor(program: string, directory: string) {
    this.#program = program
    this.#directory = directory
  }

  static async open(program: string): Promise<Openssl> {
    return new Openssl(program, await mkdtemp(join(tmpdir(), 'openssl-')))
  }

  path(name: string): string {
    return join(this.#directory, name.replaceAll(' ', '-'))
  }

  /** Runs it to a good end; what it said. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, said } = await this.ask(...args)
    if (code !== 0) throw new Error(`openssl ${args.join(' ')} ended with ${code}: ${said}`)
    return said
  }

  /** Runs it to whatever end. */
  ask(...args: readonly string[]): Promise<OpensslAnswer> {
    // No configuration of the machine but what is asked for.
    const env = { ...process.env, OPENSSL_CONF: '/dev/null' }
    return new Promise((resolve, reject) => {
      execFile(this.#program, args, { env }, (error, stdout, stderr) => {
        const code = error ? error.code : 0
        if (typeof code !== 'number') reject(new Error(`${this.#program} cannot be run`, { cause: error }))
        else resolve({ code, said: stdout + stderr })
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}
