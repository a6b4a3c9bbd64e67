import { InvalidInputError } from '../errors/index.js'
import { SingleFlight } from '../flow/index.js'

interface Held<T> {
  readonly claims: Claims
  value?: T
}

/** What a caller wants of the shared object, as comparable text; what it leaves out it takes as it comes. */
export type Claims = Readonly<Record<string, string | undefined>>

/**
 * One object for all callers of a process: calls made while it is being created join, it is published only when that
 * succeeded, and after it was forgotten or has failed the next call starts afresh.
 */
export class SharedInstance<T extends AsyncDisposable> {
  readonly #flight = new SingleFlight<Held<T>, T>()
  #held: Held<T> | undefined

  /** The object, once it exists. */
  get value(): T | undefined {
    return this.#held?.value
  }

  /**
   * @param claims - What this caller insists on.
   * @param made - What the object is made with, if this call makes it.
   * @param create - Gets a signal that aborts when nobody waits any more.
   * @throws InvalidInputError `ERR_INVALID_ARGUMENT` when the object was made with something else than claimed.
   */
  async join(
    { claims, made }: { claims: Claims; made: Claims },
    create: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    signal?.throwIfAborted()
    const held = (this.#held ??= { claims: made })
    refuseOtherClaims(held.claims, claims)
    return held.value ?? this.#flight.run(held, (abandoned) => this.#create(held, create, abandoned), signal)
  }

  /** The next caller starts afresh. Does nothing when another object has taken its place. */
  forget(value: T): void {
    if (this.#held?.value === value) this.#held = undefined
  }

  async #create(held: Held<T>, create: (signal: AbortSignal) => Promise<T>, abandoned: AbortSignal): Promise<T> {
    const drop = () => {
      if (this.#held === held) this.#held = undefined
    }
    abandoned.addEventListener('abort', drop, { once: true })
    try {
      const value = await create(abandoned)
      if (abandoned.aborted) {
        await value[Symbol.asyncDispose]()
        abandoned.throwIfAborted()
      }
      held.value = value
      return value
    } catch (error) {
      drop()
      throw error
    }
  }
}

function refuseOtherClaims(made: Claims, claims: Claims): void {
  for (const [name, wanted] of Object.entries(claims)) {
    if (wanted === undefined || wanted === made[name]) continue
    throw new InvalidInputError(
      'ERR_INVALID_ARGUMENT',
      `the shared instance was made with ${name} ${made[name] ?? 'not set'}, and this call asks for ${wanted}; ` +
        'shut the shared one down first, or use QuickStartSVID.create() for an independent one',
    )
  }
}
