import type { ChildProcess } from 'node:child_process'

/** Longest wait for an event or an answer. */
const patienceMs = 20_000
const orderlyEndMs = 5_000

/** Something that a program told, with the time in milliseconds since the epoch. */
export interface Told {
  readonly name: string
  readonly at: number
  readonly [detail: string]: unknown
}

/** What a program sends: events by themselves, answers to tasks. */
export interface Message {
  type: 'event' | 'answer'
  seq?: number
  value?: unknown
  error?: { code?: string; message: string }
}

/** A program in a process of its own that tells events and answers tasks; how the words travel is for a subclass. */
export abstract class Program implements AsyncDisposable {
  protected readonly child: ChildProcess
  readonly #told: Told[] = []
  readonly #waiting = new Set<() => void>()
  readonly #answers = new Map<number, (message: Message) => void>()
  #stderr = ''
  #ended: string | undefined
  #seq = 0

  protected constructor(child: ChildProcess) {
    this.child = child
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    child.on('error', (error) => this.#end(error.message))
    child.on('exit', (code, signal) => this.#end(`ended with ${signal ?? `code ${String(code)}`}`))
  }

  get pid(): number | undefined {
    return this.child.pid
  }

  /** Everything told under this name since a moment. */
  events(name: string, since = 0): Told[] {
    return this.#told.filter((event) => event.name === name && event.at >= since)
  }

  /** The first event of this name, since a moment, with these details; waits for it. */
  event(name: string, { since = 0, ...details }: { since?: number; [detail: string]: unknown } = {}): Promise<Told> {
    const fits = (event: Told) => Object.entries(details).every(([key, value]) => event[key] === value)
    return this.until(`the event ${name}`, () => this.events(name, since).find(fits))
  }

  /** Looks after each event until there is something to see. */
  until<T>(what: string, look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        this.#waiting.delete(check)
        clearTimeout(timer)
        outcome()
      }
      const check = () => {
        const seen = look()
        if (seen !== undefined) settle(() => resolve(seen))
        else if (this.#ended !== undefined) settle(() => reject(this.#failure(what, this.#ended!)))
      }
      const timer = setTimeout(() => {
        settle(() => reject(this.#failure(what, `told only ${JSON.stringify(this.#told.slice(-10))}`)))
      }, patienceMs)
      this.#waiting.add(check)
      check()
    })
  }

  /** Has the program do a task; an error of the task keeps its `code`. */
  ask<T>(task: string, input?: object): Promise<T> {
    const seq = ++this.#seq
    return new Promise((resolve, reject) => {
      const settle = (message: Message) => {
        clearTimeout(timer)
        this.#answers.delete(seq)
        if (message.error) reject(Object.assign(new Error(message.error.message), message.error))
        else resolve(message.value as T)
      }
      const fail = (reason: string) => settle({ type: 'answer', error: this.#failure(`the answer to ${task}`, reason) })
      const timer = setTimeout(() => fail('it did not answer'), patienceMs)
      this.#answers.set(seq, settle)
      if (this.#ended !== undefined) fail(this.#ended)
      else this.send({ seq, task, input }, fail)
    })
  }

  /** Hangs up, upon which the program ends in good order; one that does not is killed, and that is an error. */
  async stop(): Promise<void> {
    if (this.#ended !== undefined) return
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    this.hangUp()
    const killer = setTimeout(() => this.child.kill('SIGKILL'), orderlyEndMs)
    await gone
    clearTimeout(killer)
    const { exitCode, signalCode } = this.child
    if (exitCode !== 0) throw this.#failure('an orderly end', `ended with ${signalCode ?? `code ${String(exitCode)}`}`)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  protected abstract send(message: object, failed: (reason: string) => void): void

  protected abstract hangUp(): void

  /** A subclass hands in what the program said. */
  protected take(message: Message): void {
    if (message.type === 'answer') {
      this.#answers.get(message.seq!)?.(message)
      return
    }
    this.#told.push(message as unknown as Told)
    for (const check of [...this.#waiting]) check()
  }

  #end(how: string): void {
    this.#ended ??= how
    for (const check of [...this.#waiting]) check()
    for (const settle of [...this.#answers.values()]) {
      settle({ type: 'answer', error: this.#failure('an answer', how) })
    }
  }

  #failure(what: string, found: string): Error {
    return new Error(`expected ${what} of process ${String(this.pid)}; ${found}\n${this.#stderr}`)
  }
}
