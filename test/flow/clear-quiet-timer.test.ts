import { spawnSync } from 'node:child_process'
import { queryObjects } from 'node:v8'
import { expect, test } from 'vitest'
import { clearQuietTimer } from '../../src/flow/index.js'

const lists = () => {
  const timer = setTimeout(() => undefined, 1)
  clearTimeout(timer)
  const other = setTimeout(() => undefined, 1)
  const list = (other as unknown as { _idlePrev: object })._idlePrev.constructor as new () => object
  clearTimeout(other)
  return queryObjects(list, { format: 'count' })
}

/** One timer that is set anew each time, at a length that did not occur before. */
function replaceOften(clear: (timer: NodeJS.Timeout | undefined) => void, from: number): number {
  const before = lists()
  let timer: NodeJS.Timeout | undefined
  for (let ms = from; ms < from + 200; ms++) {
    clear(timer)
    timer = setTimeout(() => undefined, ms).unref()
  }
  clear(timer)
  return lists() - before
}

test('nothing stays of timers that are cleared, however many lengths they had', () => {
  expect(replaceOften(clearTimeout, 1_000_000)).toBeGreaterThan(190) // what it is for
  expect(replaceOften(clearQuietTimer, 2_000_000)).toBeLessThan(5)
})

test('a timer that has rung, has been cleared or never was does not hold the process afterwards', () => {
  const source = `
    const clear = ${clearQuietTimer.toString()}
    let again
    const rung = setTimeout(() => {
      clear(rung)
      again = setTimeout(() => undefined, 60_000).unref()
    }, 10).unref()
    setTimeout(() => {
      for (const timer of [rung, again, again, undefined]) clear(timer)
      process.stdout.write('done')
    }, 50)`
  const { status, stdout } = spawnSync(process.execPath, ['-e', source], { timeout: 10_000, encoding: 'utf8' })
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'done' })
})
