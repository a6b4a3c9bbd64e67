import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packAndInstall, rangeOf, subpaths, type Installed } from './installed.js'

let project: Installed
beforeAll(async () => {
  const beside = ['@grpc/grpc-js', 'express', 'fastify', 'undici', '@types/express', '@types/node', 'typescript']
  project = await packAndInstall(await Promise.all(beside.map(rangeOf)))
}, 90_000)
afterAll(() => project.remove())

describe('every subpath', () => {
  test('imports, and require() gives the same names', async () => {
    const script = `
      const { createRequire } = await import('node:module')
      const require = createRequire(process.cwd() + '/x.js')
      for (const name of ${JSON.stringify(await subpaths())}) {
        const imported = Object.keys(await import(name)).sort()
        const required = Object.keys(require(name)).filter((key) => key !== '__esModule').sort()
        console.log(name, imported.length > 0 && imported.join() === required.join())
      }`
    const output = await project.exec(process.execPath, ['--no-warnings', '--input-type=module', '-e', script])
    expect(output.trim().split('\n')).toEqual((await subpaths()).map((name) => `${name} true`))
  })

  test('exports exactly the names of the snapshot', async () => {
    const script = `
      const names = {}
      for (const name of ${JSON.stringify(await subpaths())}) names[name] = Object.keys(await import(name)).sort()
      console.log(JSON.stringify(names))`
    const output = await project.exec(process.execPath, ['--input-type=module', '-e', script])
    expect(JSON.parse(output)).toMatchSnapshot()
  })

  for (const [moduleResolution, module] of [
    ['nodenext', 'nodenext'],
    ['bundler', 'esnext'],
  ] as const)
    test(`compiles with moduleResolution ${moduleResolution} and skipLibCheck off`, async () => {
      const lines = (await subpaths()).map(
        (name, index) => `import * as m${index} from '${name}'\nconsole.log(m${index})`,
      )
      const program = `${lines.join('\n')}
import { QuickStartSVID, authorizeMemberOf } from 'authsec-sdk'
const svid = await QuickStartSVID.initialize({ initialTimeoutMs: 1_000, signal: AbortSignal.timeout(5_000) })
const expiresAt: Date = svid.expiresAt
svid.createHttpsServer({ authorize: authorizeMemberOf('example.org') }, (_request, response) => response.end(String(expiresAt)))
// @ts-expect-error an authorizer is required
svid.httpsAgent({})
`
      const file = `program-${moduleResolution}.ts`
      await writeFile(join(project.directory, file), program)
      const options = { module, moduleResolution, target: 'es2023', strict: true, noEmit: true, types: ['node'] }
      const config = { compilerOptions: { ...options, skipLibCheck: false }, files: [file] }
      await writeFile(join(project.directory, 'tsconfig.json'), JSON.stringify(config))
      const tsc = join(project.directory, 'node_modules/typescript/bin/tsc')
      const output = await project
        .exec(process.execPath, [tsc, '-p', '.'])
        .catch((error: unknown) => (error as { stdout: string }).stdout)
      expect(output).toBe('')
    }, 60_000)
})

test('a bundle of a small application runs away from its node_modules', async () => {
  await writeFile(
    join(project.directory, 'app.js'),
    `import { QuickStartSVID } from 'authsec-sdk'
     import { DevAgent } from 'authsec-sdk/dev-agent'
     const agent = await DevAgent.start({ trustDomain: 'example.org' })
     const { endpoint } = await agent.workload('spiffe://example.org/app')
     const svid = await QuickStartSVID.initialize({ endpoint })
     console.log(svid.spiffeId)
     await svid.shutdown()
     await agent.close()`,
  )
  const outfile = join(project.directory, 'away', 'app.mjs')
  await build({
    entryPoints: [join(project.directory, 'app.js')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    // What bundlers need for the CommonJS packages below an ES module.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
  })
  const away = join(project.directory, 'away')
  await writeFile(join(away, 'package.json'), '{}')
  const bundle = await readFile(outfile, 'utf8')
  expect(bundle).not.toMatch(/from ['"](authsec-sdk|@grpc)/)
  expect(await project.exec(process.execPath, [outfile])).toBe('spiffe://example.org/app\n')
})

test('publint finds nothing to say about the tarball', async () => {
  const { messages } = await publint({ pack: { tarball: await tarballBytes() }, strict: true })
  expect(messages).toEqual([])
})

test('are the types wrong? No, for ES modules', async () => {
  const bin = createRequire(import.meta.url)
    .resolve('@arethetypeswrong/cli/package.json')
    .replace(/package\.json$/, 'dist/index.js')
  // It exits non-zero when it finds a problem, and exec() rejects then.
  const args = [bin, project.tarball, '--profile', 'esm-only', '--no-color', '--no-emoji', '--format', 'ascii']
  const output = await project.exec(process.execPath, args)
  for (const name of await subpaths()) expect(output).toContain(`"${name}"`)
})

async function tarballBytes(): Promise<ArrayBuffer> {
  const bytes = await readFile(project.tarball)
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
}
