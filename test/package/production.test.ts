import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { packAndInstall, sizeOf, type Installed } from './installed.js'

let project: Installed
beforeAll(async () => {
  project = await packAndInstall()
}, 60_000)
afterAll(() => project.remove())

test('a production install has three packages and at most 4 MB', async () => {
  const lock = JSON.parse(await readFile(join(project.directory, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Record<string, unknown>
  }
  const packages = ['authsec-sdk', 'eventemitter3', 'jose'].map((name) => `node_modules/${name}`)
  expect(Object.keys(lock.packages)).toEqual(packages)
  expect(await sizeOf(join(project.directory, 'node_modules'))).toBeLessThanOrEqual(4_000_000)
})

test('the entries that need no foreign package load without any', async () => {
  const names = ['authsec-sdk', 'authsec-sdk/tls', 'authsec-sdk/files', 'authsec-sdk/https', 'authsec-sdk/http2']
  names.push('authsec-sdk/dev-agent', 'authsec-sdk/testing')
  const script = `for (const name of ${JSON.stringify(names)}) console.log(name, Object.keys(await import(name)).length > 0)`
  const output = await project.exec(process.execPath, ['--input-type=module', '-e', script])
  expect(output.trim().split('\n')).toEqual(names.map((name) => `${name} true`))
})

test('an import of the root reads two files of ours', async () => {
  const dist = join(project.directory, 'node_modules/authsec-sdk/dist')
  const read = new Set(['index.js'])
  for (const file of read) {
    const text = await readFile(join(dist, file), 'utf8')
    for (const [, imported = ''] of text.matchAll(/\bfrom ?"\.\/([^"]+)"/g)) read.add(imported)
  }
  expect([...read]).toEqual(['index.js', expect.stringMatching(/^chunk-/)])
})

test('the package holds the licences of what is bundled into it', async () => {
  const text = await readFile(join(project.directory, 'node_modules/authsec-sdk/THIRD-PARTY-LICENSES.txt'), 'utf8')
  for (const name of ['@grpc/grpc-js', '@peculiar/x509', 'reflect-metadata', 'eventemitter3', 'fastify-plugin']) {
    expect(text).toContain(`${name} `)
  }
  const files = await readdir(join(project.directory, 'node_modules/authsec-sdk'))
  expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'CHANGELOG.md', 'dist', 'package.json']))
  expect(files).not.toContain('src')
})
