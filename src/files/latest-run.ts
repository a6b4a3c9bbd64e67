/** Runs a task for one input at a time; of the inputs that come during a run, only the newest waits for the next. */
export class LatestRun<T> {
  readonly #task: (input: T) => Promise<void>
  #running: Promise<void> | undefined
  #waiting: { input: T; readonly done: Promise<void> } | undefined

  constructor(task: (input: T) => Promise<void>) {
    this.#task = task
  }

  /** Settles with the run that took this input, or a newer one in its place. */
  run(input: T): Promise<void> {
    if (this.#waiting) {
      this.#waiting.input = input
      return this.#waiting.done
    }
    if (this.#running === undefined) return this.#start(input)
    const done = settled(this.#running).then(() => this.#startWaiting())
    this.#waiting = { input, done }
    return done
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    const last = this.#waiting?.done ?? this.#running
    if (last) await settled(last)
  }

  #start(input: T): Promise<void> {
    const running = this.#task(input).finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }

  #startWaiting(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting ? this.#start(waiting.input) : Promise.resolve()
  }
}

/** Whoever called run() has the error; here only the end matters. */
function settled(promise: Promise<void>): Promise<void> {
  return promise.catch(() => undefined)
}
