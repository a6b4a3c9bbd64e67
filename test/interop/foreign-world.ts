import { spawn } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DevAgent } from '../../src/dev/agent/index.js'
import type { DevWorkload } from '../../src/dev/agent/index.js'
import { QuickStartSVID } from '../../src/quickstart/index.js'

/** A dev agent, a client of ours and the processes of others, in a directory that any user can enter. */
export class ForeignWorld implements AsyncDisposable {
  readonly directory: string
  readonly agent: DevAgent
  readonly client: QuickStartSVID
  readonly #children: ChildProcess[] = []

  private constructor(directory: string, agent: DevAgent, client: QuickStartSVID) {
    this.directory = directory
    this.agent = agent
    this.client = client
  }

  static async create(clientId: string): Promise<ForeignWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'foreign-'))
    await chmod(directory, 0o755)
    const sockets = join(directory, 'sockets')
    const agent = await DevAgent.start({ trustDomain: 'example.org', directory: sockets, socketMode: 0o666 })
    await chmod(sockets, 0o755)
    const client = await QuickStartSVID.create({ endpoint: (await agent.workload(clientId)).endpoint })
    return new ForeignWorld(directory, agent, client)
  }

  workload(id: string): Promise<DevWorkload> {
    return this.agent.workload(id)
  }

  start(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const child = spawn(program, args, options)
    this.#children.push(child)
    return child
  }

  /** Waits until something accepts connections there; rejects when the process that should do so ends. */
  async accepts(port: number, by: ChildProcess): Promise<void> {
    while (by.exitCode === null && by.signalCode === null) {
      const socket = connect(port, '127.0.0.1')
      const listening = await once(socket, 'connect').then(
        () => true,
        () => false,
      )
      socket.destroy()
      if (listening) return
      await sleep(50)
    }
    throw new Error(`${by.spawnfile} ended with ${by.exitCode ?? by.signalCode ?? 'nothing'} before it listened`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exit = once(child, 'exit')
      child.kill('SIGINT')
      const patience = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exit
      clearTimeout(patience)
    }
    await this.client.shutdown()
    await this.agent.close()
    await rm(this.directory, { recursive: true, force: true })
  }
}
