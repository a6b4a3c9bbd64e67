import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { LineProgram } from './line-program.js'
import type { Answer } from './workload.js'

/** A program of `go-spiffe/`, built. The first build on a machine takes a minute, Go's own cache makes the next quick. */
export class GoProgram implements AsyncDisposable {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** @param folder - Of the program, below `go-spiffe/`. Default the workload. */
  static async build(folder = '.'): Promise<GoProgram> {
    const program = new GoProgram(await mkdtemp(join(tmpdir(), 'go-spiffe-')))
    const go = spawn('go', ['build', '-mod=readonly', '-buildvcs=false', '-o', program.path, folder], {
      cwd: join(import.meta.dirname, 'go-spiffe'),
      env: { ...process.env, GOFLAGS: '', GOWORK: 'off', CGO_ENABLED: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = new Promise<number | null>((resolve, reject) => {
      go.once('error', reject).once('close', resolve)
    }).catch((cause: unknown) => {
      throw new Error('cannot run `go`. Install the Go toolchain (https://go.dev/dl) and run this again.', { cause })
    })
    try {
      const [code, said] = await Promise.all([ended, text(go.stderr)])
      if (code !== 0) throw new Error(`go build failed; it needs the network or a Go module proxy. It said:\n${said}`)
    } catch (error) {
      await program[Symbol.asyncDispose]()
      throw error
    }
    return program
  }

  /** Runs it; resolves when it has its identity and serves. */
  async start(options: { endpoint: string; authorize: readonly string[] | 'any' }): Promise<GoWorkload> {
    return GoWorkload.start(this.path, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }

  get path(): string {
    return join(this.#directory, 'program')
  }
}

/** A workload that go-spiffe gives its identity, its proofs and its TLS. */
export class GoWorkload extends LineProgram {
  url = ''
  /** Address of its gRPC server. */
  grpcTarget = ''

  static async start(
    path: string,
    { endpoint, authorize }: { endpoint: string; authorize: readonly string[] | 'any' },
  ): Promise<GoWorkload> {
    const workload = new GoWorkload(path, [authorize === 'any' ? 'any' : authorize.join(',')], { endpoint })
    try {
      const { url, grpcTarget } = await workload.event('ready')
      workload.url = String(url)
      workload.grpcTarget = String(grpcTarget)
      return workload
    } catch (error) {
      await workload.stop()
      throw error
    }
  }

  call(call: { url: string; authorize: string }): Promise<Answer> {
    return this.ask('call', call)
  }
}
