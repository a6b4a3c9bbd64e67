import { fork } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Message, Program, type Told } from './program.js'

export interface WorkloadOptions {
  /** `unix:///…`, given to the program as `SPIFFE_ENDPOINT_SOCKET`. */
  endpoint: string
  /** The node binary by the name that the agent shall see. */
  binary: string
  /** File in `programs/`. Default `workload.mjs`. */
  program?: string | undefined
  /** Whom its server admits: SPIFFE IDs, or `any`. Default `any`. */
  authorize?: readonly string[] | 'any' | undefined
  /** Options of `QuickStartSVID.initialize`, as far as JSON can tell them. */
  options?: object | undefined
}

/** How to call another workload; see `programs/caller.mjs`. */
export interface Call {
  via: 'https' | 'fetch' | 'undici'
  url: string
  authorize: string | readonly string[]
  fresh?: boolean
}

/** What a call brought back. */
export interface Answer {
  status: number
  body: { by: string; caller: string; callerSerial: string }
  serial?: string
  reused?: boolean
}

/** What `programs/load.mjs` counted. */
export interface LoadResult {
  calls: Record<string, number>
  reused: number
  failures: { way: string; at: number; code?: string; message: string }[]
  servers: string[]
  callers: string[]
}

/** A program of `programs/` on the built package. */
export class Workload extends Program {
  /** Where its server listens, `https://127.0.0.1:PORT/`, once it is ready. */
  url = ''

  /** Starts the process and returns at once. */
  static spawn(options: WorkloadOptions): Workload {
    const { endpoint, binary, program = 'workload.mjs', authorize, options: ours } = options
    const child = fork(join(import.meta.dirname, 'programs', program), [JSON.stringify({ authorize, options: ours })], {
      execPath: binary,
      execArgv: [],
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: endpoint },
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    const workload = new Workload(child)
    child.on('message', (message: Message) => workload.take(message))
    return workload
  }

  /** Starts the process and resolves when it has its identity and serves. */
  static async start(options: WorkloadOptions): Promise<Workload> {
    const workload = Workload.spawn(options)
    try {
      await workload.ready()
      return workload
    } catch (error) {
      await workload.stop()
      throw error
    }
  }

  async ready(): Promise<Told> {
    const ready = await this.event('ready')
    this.url = String(ready['url'])
    return ready
  }

  call(call: Call): Promise<Answer> {
    return this.ask('call', call)
  }

  protected override send(message: object, failed: (reason: string) => void): void {
    this.child.send(message, (error) => {
      if (error) failed(error.message)
    })
  }

  protected override hangUp(): void {
    if (this.child.connected) this.child.disconnect()
  }
}

/** Resolves when calls that began after now have succeeded in every way, or one failed. */
export async function everyWayGoesOn(workload: Workload): Promise<void> {
  const before = await workload.ask<LoadResult>('look at load')
  const deadline = Date.now() + 20_000
  for (;;) {
    const { calls, failures } = await workload.ask<LoadResult>('look at load')
    // The first success from now on may belong to a call that began earlier.
    if (Object.entries(calls).every(([way, count]) => count >= before.calls[way]! + 2)) return
    if (failures.length > 0) throw new Error(`calls failed: ${JSON.stringify(failures)}`)
    if (Date.now() > deadline) throw new Error(`the calls do not go on: ${JSON.stringify({ before, calls })}`)
    await delay(20)
  }
}
