import { afterAll } from 'vitest'

/** Ends what a test file opened, the newest first, also where `beforeAll` failed half way. */
export function keepUntilEnd(): <T extends AsyncDisposable>(opening: Promise<T>) => Promise<T> {
  const kept: AsyncDisposable[] = []
  afterAll(async () => {
    const failures: unknown[] = []
    for (const thing of kept.reverse()) {
      try {
        await thing[Symbol.asyncDispose]()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'))
  })
  return async (opening) => {
    const thing = await opening
    kept.push(thing)
    return thing
  }
}
