import { readFile } from 'node:fs/promises'
import { InvalidInputError, SpiffeError } from '../errors/index.js'
import { expectMs, longestTimerMs } from '../flow/index.js'

/** What follows a write of the files: for programs that read them once, or by separate opens, and must be told. */
export interface AfterWrite {
  /** Called when the new files are in place. */
  call?: (() => void | Promise<void>) | undefined
  /** Sends a signal (default `SIGHUP`) to the process whose id stands in `pidFile`. */
  signal?: { pidFile: string; signal?: NodeJS.Signals | undefined } | undefined
  /** Program and arguments, started without a shell: `['nginx', '-s', 'reload']`. */
  command?: readonly [string, ...string[]] | undefined
  /** Longest run of the command, in milliseconds; then it is killed. Default 10 000. */
  commandTimeoutMs?: number | undefined
  /** Told when one of these fails; the files are in place all the same. */
  onFailed?: ((error: SpiffeError) => void) | undefined
}

/** @throws InvalidInputError `ERR_INVALID_ARGUMENT` */
export function readAfterWrite(after: AfterWrite = {}): AfterWrite {
  const { call, signal, command } = after
  const words: unknown = command
  if (call !== undefined && typeof call !== 'function') throw refuse('call must be a function')
  if (signal !== undefined && typeof (signal.pidFile as unknown) !== 'string') throw refuse('signal needs a pidFile')
  if (words !== undefined && !isCommand(words)) {
    throw refuse('command must be a program and its arguments, each a string')
  }
  const commandTimeoutMs = expectMs('afterWrite.commandTimeoutMs', after.commandTimeoutMs ?? 10_000, 1)
  return { ...after, commandTimeoutMs: Math.ceil(Math.min(commandTimeoutMs, longestTimerMs)) }
}

function isCommand(words: unknown): boolean {
  return Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string')
}

/** Runs the hooks one after the other. Never rejects: what fails is told to `onFailed`. */
export async function runAfterWrite(after: AfterWrite): Promise<void> {
  for (const [what, run] of [
    ['the callback', () => after.call?.()],
    ['the signal', () => after.signal && sendSignal(after.signal)],
    ['the command', () => after.command && runCommand(after.command, after.commandTimeoutMs ?? 10_000)],
  ] as const) {
    try {
      await run()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      const message = `the files are written, but ${what} after it failed: ${why}`
      after.onFailed?.(new SpiffeError('ERR_FILE_HOOK_FAILED', message, { cause }))
    }
  }
}

async function sendSignal({ pidFile, signal }: NonNullable<AfterWrite['signal']>): Promise<void> {
  // PostgreSQL writes more lines below the first.
  const text = (await readFile(pidFile, 'utf8')).split('\n', 1)[0]?.trim() ?? ''
  // 0 and negative numbers would reach whole groups of processes.
  if (!/^[1-9][0-9]{0,9}$/.test(text)) throw new Error(`expected a process id in ${pidFile}`)
  process.kill(Number(text), signal ?? 'SIGHUP')
}

async function runCommand([program, ...words]: readonly [string, ...string[]], timeout: number): Promise<void> {
  const { execFile } = await import('node:child_process')
  await new Promise<void>((resolve, reject) => {
    execFile(program, words, { timeout, killSignal: 'SIGKILL', windowsHide: true }, (error) => {
      if (!error) resolve()
      else if (error.killed) reject(new Error(`${program} ran longer than ${timeout} ms`, { cause: error }))
      else reject(new Error(`${program} ended with ${error.code ?? error.signal ?? 'an error'}`, { cause: error }))
    })
  })
}

function refuse(message: string): InvalidInputError {
  return new InvalidInputError('ERR_INVALID_ARGUMENT', `afterWrite.${message}`)
}
