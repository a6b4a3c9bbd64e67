import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Longest wait for a daemon to become healthy, and for one of its commands to answer. */
const deadlineMs = 30_000
/** How long a daemon may take over its own orderly end before it is killed. */
const orderlyEndMs = 5_000
const pollMs = 50

export interface DaemonOptions {
  /** Absolute path of the binary. */
  program: string
  /** Arguments of the run that stays. */
  args: readonly string[]
  /** Socket that its subcommands talk to. */
  socket: string
  /** File that gets everything it writes, over all its runs. */
  log: string
}

/** One spire-server or spire-agent process: started until healthy, ended by its process id. */
export class Daemon {
  readonly #options: DaemonOptions
  #child: ChildProcess | undefined
  /** Where the log of the present run begins. */
  #logStart = 0
  /** The last start, stop or kill: one waits for the other. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: DaemonOptions) {
    this.#options = options
  }

  /** Process id while it runs. */
  get pid(): number | undefined {
    return isRunning(this.#child) ? this.#child.pid : undefined
  }

  /** Starts the process and resolves as soon as its own healthcheck is content; leaves no process where it fails. */
  start(): Promise<void> {
    return this.#inTurn(() => this.#start())
  }

  /** Asks the process to end, kills it if it does not, and resolves when it is gone. */
  stop(): Promise<void> {
    return this.#inTurn(() => this.#end('SIGTERM'))
  }

  /** Ends the process without warning and resolves when it is gone. */
  kill(): Promise<void> {
    return this.#inTurn(() => this.#end('SIGKILL'))
  }

  restart(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#end('SIGTERM')
      await this.#start()
    })
  }

  /** Runs a subcommand against the daemon's socket and returns what it printed. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const result = await command(this.#options.program, [...args, '-socketPath', this.#options.socket], input)
    if (result.failed) {
      throw new Error(`\`${args.join(' ')}\` failed: ${result.output.trim()}\n${await this.logTail()}`)
    }
    return result.stdout
  }

  /** The last lines of the present run's log, with the file's name. */
  async logTail(lines = 20): Promise<string> {
    const text = await readFile(this.#options.log).then(
      (bytes) => bytes.subarray(this.#logStart).toString(),
      () => '',
    )
    return `the end of ${this.#options.log}:\n${text.trim().split('\n').slice(-lines).join('\n')}`
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #start(): Promise<void> {
    if (isRunning(this.#child)) throw new Error(`${this.#options.program} runs already`)
    const { program, args, socket, log } = this.#options
    this.#logStart = await stat(log).then(
      (stats) => stats.size,
      () => 0,
    )
    const output = openSync(log, 'a', 0o600)
    const child = spawn(program, args, { stdio: ['ignore', output, output] })
    closeSync(output)
    this.#child = child
    // A test that was abandoned must be able to end; the guardian then ends the daemon.
    child.unref()
    let ended: string | undefined
    child.once('error', (error) => (ended = error.message))
    child.once('exit', (code, signal) => (ended = `ended with ${signal ?? `code ${String(code)}`}`))
    guard(child)

    const deadline = performance.now() + deadlineMs
    for (;;) {
      if (!(await command(program, ['healthcheck', '-socketPath', socket], '')).failed) return
      if (ended === undefined && performance.now() > deadline) ended = `was not healthy after ${deadlineMs} ms`
      if (ended !== undefined) break
      await delay(pollMs)
    }
    await this.#end('SIGKILL')
    throw new Error(`${program} ${ended}; ${await this.logTail()}`)
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (!isRunning(child)) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.ref()
    child.kill(signal)
    const killer = setTimeout(() => child.kill('SIGKILL'), orderlyEndMs)
    await gone
    clearTimeout(killer)
  }
}

function isRunning(child: ChildProcess | undefined): child is ChildProcess {
  return child?.pid !== undefined && child.exitCode === null && child.signalCode === null
}

function command(
  program: string,
  args: readonly string[],
  input: string,
): Promise<{ failed: boolean; stdout: string; output: string }> {
  return new Promise((resolve) => {
    const options = { timeout: deadlineMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20 } as const
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      const reason = stdout + stderr || (error?.message ?? '')
      resolve({ failed: error !== null, stdout, output: reason })
    })
    // A command that does not read its input closes it.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

let guardian: ChildProcess | undefined

/**
 * Has `child` killed when this process or worker thread ends without having ended it, even by SIGKILL: a shell in a
 * session of its own reads a pipe that only we hold, and whatever is left on its list when the pipe closes, it kills.
 */
function guard(child: ChildProcess): void {
  const { pid } = child
  if (pid === undefined) return
  guardian ??= startGuardian()
  const { stdin } = guardian
  stdin?.write(`watch ${pid}\n`)
  child.once('exit', () => stdin?.write(`forget ${pid}\n`))
}

function startGuardian(): ChildProcess {
  const script = `
    while read -r action pid; do
      case $action in
        watch) pids="$pids $pid" ;;
        forget) rest=; for p in $pids; do [ "$p" = "$pid" ] || rest="$rest $p"; done; pids=$rest ;;
      esac
    done
    for p in $pids; do kill -9 "$p"; done`
  const shell = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  shell.on('error', () => undefined)
  shell.stdin.on('error', () => undefined)
  shell.unref()
  if (shell.stdin instanceof Socket) shell.stdin.unref()
  return shell
}
