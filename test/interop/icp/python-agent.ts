import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { generatePython, pythonWithGrpcio } from './python-grpcio.js'

export interface SeenCall {
  method: string
  /** Every value of every key, as the agent got them. */
  metadata: Record<string, string[]>
  request?: Record<string, unknown>
}

export interface HeldSvid {
  spiffeId: string
  chain: Uint8Array | string
  key: Uint8Array | string
  bundle: Uint8Array | string
}

interface Answer {
  port?: number
  calls?: SeenCall[]
  streams?: number
}

const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes as string).toString('base64')
const base64Values = (values: Readonly<Record<string, Uint8Array | string>>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, base64(value)]))

/** The agent of `icp_agent.py`, in a process of its own. */
export class PythonAgent implements AsyncDisposable {
  readonly path: string
  readonly #directory: string
  readonly #python: string
  readonly #tcp: boolean
  #child: ChildProcessWithoutNullStreams | undefined
  #errors = ''
  #port = 0
  readonly #waiting: ((answer: Answer) => void)[] = []

  private constructor(directory: string, python: string, tcp: boolean) {
    this.#directory = directory
    this.#python = python
    this.#tcp = tcp
    this.path = join(directory, 'agent.sock')
  }

  static async start(dialect: 'icp' | 'spiffe', { tcp = false } = {}): Promise<PythonAgent> {
    const python = await pythonWithGrpcio()
    const directory = await mkdtemp(join(tmpdir(), 'python-agent-'))
    const agent = new PythonAgent(directory, python, tcp)
    try {
      await generatePython(python, join(import.meta.dirname, '../../../proto'), directory)
      await agent.listen(dialect)
    } catch (error) {
      await agent[Symbol.asyncDispose]()
      throw error
    }
    return agent
  }

  get endpoint(): string {
    return this.#tcp ? `tcp://127.0.0.1:${this.#port}` : `unix://${this.path}`
  }

  /** Starts the process; after `kill()` again, also in the other dialect. */
  async listen(dialect: 'icp' | 'spiffe'): Promise<void> {
    const address = this.#tcp ? `127.0.0.1:${this.#port}` : this.path
    const program = join(import.meta.dirname, 'icp_agent.py')
    const child = spawn(this.#python, [program, dialect, address, this.#directory], { stdio: 'pipe' })
    this.#child = child
    child.stdin.on('error', () => undefined)
    child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()))
    const started = this.#next()
    createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line) as Answer))
    const ended = once(child, 'close').then(() => {
      throw new Error(`the Python agent ended: ${this.#errors.slice(-2_000)}`)
    })
    ended.catch(() => undefined)
    const { port = 0 } = await Promise.race([started, ended])
    this.#port = port
  }

  /** Holds these SVIDs for streams to come. */
  async hold(svids: readonly HeldSvid[], federated: Readonly<Record<string, Uint8Array | string>> = {}): Promise<void> {
    await this.#order('hold', {
      svids: svids.map(({ spiffeId, chain, key, bundle }) => ({
        spiffe_id: spiffeId,
        ...base64Values({ chain, key, bundle }),
      })),
      federated: base64Values(federated),
    })
  }

  /** Sends what is held into the open streams. */
  async push(): Promise<void> {
    await this.#order('push')
  }

  /** Ends the open streams with OK. */
  async end(): Promise<void> {
    await this.#order('end')
  }

  /** Attests nobody any more, or cannot: its answer is the same. Streams that are open stay. */
  async forget(): Promise<void> {
    await this.#order('forget')
  }

  async holdBundles(bundles: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
    await this.#order('bundles', { bundles: base64Values(bundles) })
  }

  async holdJwt(spiffeId: string, token: string): Promise<void> {
    await this.#order('jwt', { svid: { spiffe_id: spiffeId, svid: token } })
  }

  async holdJwtBundles(bundles: Readonly<Record<string, string>>): Promise<void> {
    await this.#order('jwt-bundles', { bundles })
  }

  /** A token that the agent's server finds valid for these audiences, and the claims that it reports. */
  async know(token: string, spiffeId: string, audience: readonly string[], claims: object): Promise<void> {
    await this.#order('token', { token, known: { spiffe_id: spiffeId, audience, claims } })
  }

  async loseUpstream(): Promise<void> {
    await this.#order('lose-upstream')
  }

  async reset(): Promise<void> {
    await this.#order('reset')
  }

  async calls(method?: string): Promise<SeenCall[]> {
    const { calls = [] } = await this.#order('state')
    return calls.filter((call) => method === undefined || call.method === method)
  }

  async openStreams(): Promise<number> {
    return (await this.#order('state')).streams ?? 0
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    this.#waiting.length = 0
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'close')
    child.kill('SIGKILL')
    await gone
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#directory, { recursive: true, force: true })
  }

  #next(): Promise<Answer> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #order(what: string, more: object = {}): Promise<Answer> {
    if (!this.#child) throw new Error('the Python agent does not run')
    const answer = this.#next()
    this.#child.stdin.write(`${JSON.stringify({ do: what, ...more })}\n`)
    return answer
  }
}
