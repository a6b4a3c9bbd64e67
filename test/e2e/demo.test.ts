import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const demo = join(import.meta.dirname, '../../examples/demo/demo.js')

function runDemo(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [demo, ...args], { timeout: 30_000 }, (error, stdout) => {
      resolve({ code: error ? Number(error.code) : 0, output: stdout })
    })
  })
}

test('the demo shows every claim, in less than 20 s, and ends with exit code 0', async () => {
  const started = Date.now()
  const { code, output } = await runDemo()
  expect(output).not.toContain('✗')
  expect(code).toBe(0)
  expect(Date.now() - started).toBeLessThan(20_000)
}, 40_000)

for (const [name, claim] of [
  ['authorizer', 'payments answers the stranger 403'],
  ['impostor', 'inventory closes the connection before any request'],
  ['rotation', 'every process has a new certificate'],
  ['key-mode', 'the key is readable by its owner alone'],
] as const)
  test(`the demo fails when its claim is broken: ${name}`, async () => {
    const { code, output } = await runDemo(`--break=${name}`)
    expect(output).toContain(`✗ ${claim}`)
    expect(code).toBe(1)
  }, 40_000)
