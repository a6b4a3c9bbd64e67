import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { SvidFileWriter } from '../../src/files/index.js'
import type { FollowableSource } from '../../src/files/index.js'
import { createMint } from './identities.js'
import type { Identity } from './identities.js'
import { temporaryDirectory } from './temporary-directory.js'

let mint: () => Promise<Identity>

beforeAll(async () => {
  mint = await createMint(2)
})

/** A source that a test turns by hand. */
class HandSource implements FollowableSource {
  readonly #listeners = new Set<() => void>()
  #identity: Identity | undefined

  constructor(identity?: Identity) {
    this.#identity = identity
  }

  get listeners(): number {
    return this.#listeners.size
  }

  turn(identity?: Identity): void {
    this.#identity = identity
    for (const listener of this.#listeners) listener()
  }

  getX509Svid() {
    if (!this.#identity) throw new Error('withdrawn')
    return this.#identity.svid
  }

  getX509Bundle() {
    return this.#identity?.bundle
  }

  onUpdate(listener: () => void) {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}

async function openWriter(): Promise<SvidFileWriter> {
  return SvidFileWriter.open({ certDir: join(await temporaryDirectory(), 'certs') })
}

/** Resolves at the next call of the function that it hands out. */
function nextCall<T = undefined>(): { called: Promise<T>; call: (value: T) => void } {
  let call!: (value: T) => void
  const called = new Promise<T>((resolve) => (call = resolve))
  return { called, call }
}

test('a followed source is written at once and after each update', async () => {
  await using writer = await openWriter()
  const [first, second] = [await mint(), await mint()]
  const source = new HandSource(first)
  let written = nextCall()
  await writer.follow(source, { onWritten: () => written.call(undefined) })
  expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(first.svid.privateKeyPem())

  written = nextCall()
  source.turn(second)
  await written.called
  expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(second.svid.privateKeyPem())
})

test('the last files stay while the identity is withdrawn', async () => {
  await using writer = await openWriter()
  const [first, second] = [await mint(), await mint()]
  const source = new HandSource(first)
  const failures: unknown[] = []
  const written = nextCall()
  await writer.follow(source, { onFailed: (error) => failures.push(error) })
  source.turn(undefined)
  await writer.follow(source, { onWritten: () => written.call(undefined) })
  expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(first.svid.privateKeyPem())
  source.turn(second)
  await written.called
  expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(second.svid.privateKeyPem())
  expect(failures).toEqual([])
})

test('a failed write is reported once for each reason, and tried again without an update', async () => {
  await using writer = await openWriter()
  const { directory } = writer.paths
  chmodSync(directory, 0o777)
  const written = nextCall()
  const failures: unknown[] = []
  const identity = await mint()
  await writer.follow(new HandSource(identity), {
    retryMs: 1,
    onWritten: () => written.call(undefined),
    onFailed: (error) => {
      failures.push(error)
      // Two more attempts later at the earliest: the retries fail the same way, and that is not told again.
      if (failures.length === 1) setTimeout(() => chmodSync(directory, 0o770), 20)
      if (failures.length === 2) chmodSync(directory, 0o700)
    },
  })
  await written.called
  expect(failures).toMatchObject([
    { code: 'ERR_DIRECTORY_UNSAFE', message: expect.stringContaining('0777') as unknown },
    { code: 'ERR_DIRECTORY_UNSAFE', message: expect.stringContaining('0770') as unknown },
  ])
  expect(readFileSync(writer.paths.keyFile, 'utf8')).toBe(identity.svid.privateKeyPem())
})

test('close ends the following', async () => {
  const writer = await openWriter()
  const source = new HandSource(await mint())
  await writer.follow(source)
  expect(source.listeners).toBe(1)
  await writer.close()
  expect(source.listeners).toBe(0)
  await expect(writer.follow(source)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
})
