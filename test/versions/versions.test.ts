import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packAndInstall, rangeOf, root, subpaths, type Installed } from '../package/installed.js'
import { nodeBinary } from './node-binary.js'

let project: Installed
beforeAll(async () => {
  project = await packAndInstall(await Promise.all(['@grpc/grpc-js', 'express', 'fastify', 'undici'].map(rangeOf)))
  await cp(join(root, 'examples/demo'), join(project.directory, 'demo'), { recursive: true })
}, 120_000)
afterAll(() => project.remove())

for (const major of [20, 22, 24, 26])
  describe(`the tarball on Node.js ${major}`, () => {
    let node: string
    beforeAll(async () => {
      node = await nodeBinary(major)
    }, 300_000)

    test('is that version', async () => {
      expect(await project.exec(node, ['--version'])).toMatch(new RegExp(`^v${major}\\.`))
    })

    test('imports and requires every subpath', async () => {
      const script = `
        const { createRequire } = await import('node:module')
        const require = createRequire(process.cwd() + '/x.js')
        for (const name of ${JSON.stringify(await subpaths())}) {
          const imported = Object.keys(await import(name)).length
          console.log(name, imported > 0 && Object.keys(require(name)).length >= imported)
        }`
      const output = await project.exec(node, ['--no-warnings', '--input-type=module', '-e', script])
      expect(output.trim().split('\n')).toEqual((await subpaths()).map((name) => `${name} true`))
    })

    test('runs the demo, every claim of it', async () => {
      const output = await project.exec(node, ['demo/demo.js'])
      expect(output).toMatch(/all \d+ claims held/)
    })
  })
