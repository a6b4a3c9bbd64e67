import { describe, expect, test } from 'vitest'
import { SharedInstance } from '../../src/quickstart/shared-instance.js'

class Thing implements AsyncDisposable {
  disposed = false;

  [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true
    return Promise.resolve()
  }
}

const anything = { claims: {}, made: { endpoint: 'unix:///a' } }

/** A creation that a test finishes by hand. */
function byHand() {
  const made: { thing: Thing; finish: () => void; fail: (error: Error) => void; signal: AbortSignal }[] = []
  const create = (signal: AbortSignal) =>
    new Promise<Thing>((resolve, reject) => {
      const thing = new Thing()
      made.push({ thing, finish: () => resolve(thing), fail: reject, signal })
    })
  return { made, create }
}

describe('the shared instance', () => {
  test('is made once for calls that come together, and given to those that come later', async () => {
    const shared = new SharedInstance<Thing>()
    const { made, create } = byHand()
    const together = [shared.join(anything, create), shared.join(anything, create)]
    expect(shared.value).toBeUndefined()
    made[0]!.finish()
    const [one, two] = await Promise.all(together)
    expect(one).toBe(two)
    expect(await shared.join(anything, create)).toBe(one)
    expect(shared.value).toBe(one)
    expect(made).toHaveLength(1)
  })

  test('is not published when it could not be made; the next call starts afresh', async () => {
    const shared = new SharedInstance<Thing>()
    const { made, create } = byHand()
    const failing = [shared.join(anything, create), shared.join(anything, create)]
    made[0]!.fail(new Error('no agent'))
    expect((await Promise.allSettled(failing)).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(shared.value).toBeUndefined()
    const next = shared.join(anything, create)
    made[1]!.finish()
    expect(await next).toBe(made[1]!.thing)
  })

  test('starts afresh after it was forgotten', async () => {
    const shared = new SharedInstance<Thing>()
    const { made, create } = byHand()
    const first = shared.join(anything, create)
    made[0]!.finish()
    shared.forget(await first)
    const second = shared.join(anything, create)
    shared.forget(made[0]!.thing)
    made[1]!.finish()
    expect(await second).toBe(made[1]!.thing)
    expect(shared.value).toBe(made[1]!.thing)
  })

  test('is not given to a call that asks for something else', async () => {
    const shared = new SharedInstance<Thing>()
    const { made, create } = byHand()
    const first = shared.join(anything, create)
    const other = { claims: { endpoint: 'unix:///b' }, made: { endpoint: 'unix:///b' } }
    await expect(shared.join(other, create)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(/unix:\/\/\/a.*unix:\/\/\/b/) as unknown,
    })
    made[0]!.finish()
    await first
    await expect(shared.join(other, create)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    const same = { claims: { endpoint: 'unix:///a' }, made: { endpoint: 'unix:///a' } }
    expect(await shared.join(same, create)).toBe(await first)
  })

  test('goes on being made when one of its callers leaves', async () => {
    const shared = new SharedInstance<Thing>()
    const { made, create } = byHand()
    const leaving = new AbortController()
    const reason = new Error('left')
    const [left, stayed] = [shared.join(anything, create, leaving.signal), shared.join(anything, create)]
    leaving.abort(reason)
    await expect(left).rejects.toBe(reason)
    expect(made[0]!.signal.aborted).toBe(false)
    made[0]!.finish()
    expect(await stayed).toBe(made[0]!.thing)
  })

  test('is abandoned when all of its callers leave, and cleared away when it comes all the same', async () => {
    const shared = new SharedInstance<Thing>()
    const { made, create } = byHand()
    const leaving = new AbortController()
    const left = shared.join(anything, create, leaving.signal)
    leaving.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    expect(made[0]!.signal.aborted).toBe(true)

    const next = shared.join(anything, create)
    made[0]!.finish()
    made[1]!.finish()
    expect(await next).toBe(made[1]!.thing)
    expect(shared.value).toBe(made[1]!.thing)
    expect(made[0]!.thing.disposed).toBe(true)
    expect(made[1]!.thing.disposed).toBe(false)
  })
})
