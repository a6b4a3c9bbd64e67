import { createHook } from 'node:async_hooks'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, expect, vi } from 'vitest'

/** A handle as Node's diagnostic report lists it: the only list that has the unref'ed ones, which ours are. */
interface ReportedHandle {
  type: string
  address: string
  localEndpoint?: unknown
  remoteEndpoint?: unknown
}

/** Every socket and server of this process by its address in memory, held or unref'ed. */
export function openSockets(): Map<string, string> {
  const { libuv } = process.report.getReport() as unknown as { libuv: ReportedHandle[] }
  return new Map(
    libuv
      .filter(({ type }) => type === 'pipe' || type === 'tcp')
      .map(({ type, address, localEndpoint, remoteEndpoint }) => [
        address,
        `${type} ${JSON.stringify(localEndpoint ?? null)} -> ${JSON.stringify(remoteEndpoint ?? null)}`,
      ]),
  )
}

/** Follows the timers that are made from `start()` on, held or unref'ed. */
export class TimerCensus {
  readonly #made = new Map<number, Error>()
  readonly #hook = createHook({
    init: (id, type) => {
      // The stack is only written out for those that stay.
      if (type === 'Timeout') this.#made.set(id, new Error('a timer made'))
    },
    destroy: (id) => void this.#made.delete(id),
  })
  readonly #usualDepth = Error.stackTraceLimit

  start(): void {
    Error.stackTraceLimit = 40
    this.#hook.enable()
  }

  stop(): void {
    this.#hook.disable()
    Error.stackTraceLimit = this.#usualDepth
  }

  /** Where the timers were made that still run and that this library or grpc-js made. */
  running(): string[] {
    return [...this.#made.values()]
      .map(({ stack = '' }) => stack)
      .filter((stack) => /[\\/]src[\\/]|grpc-js/.test(stack))
  }
}

/**
 * Has the test file fail when, after everything else in it, a socket or a timer is left that was not there before.
 * To be called first, so that its check comes last.
 */
export function expectNothingLeft(): void {
  const timers = new TimerCensus()
  let before: ReadonlyMap<string, string>
  beforeAll(() => {
    before = openSockets()
    timers.start()
  })
  afterAll(async () => {
    // What is closed may take a moment; what leaked stays.
    await vi.waitFor(
      async () => {
        // Node.js tells of cleared timers in a later turn, which must not depend on how busy this machine is.
        await setImmediate()
        const sockets = [...openSockets()].filter(([address]) => !before.has(address)).map(([, name]) => name)
        // As one text, so that a report has all of it.
        expect([...sockets, ...timers.running()].join('\n')).toBe('')
      },
      { timeout: 3_000 },
    )
    timers.stop()
  })
}
