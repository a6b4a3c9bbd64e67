import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
export const root = join(import.meta.dirname, '../..')

/** The tarball that npm would publish, installed into projects of its own. */
export interface Installed {
  tarball: string
  directory: string
  /** Runs a program in the project and gives its standard output. */
  exec(command: string, args: readonly string[]): Promise<string>
  remove(): Promise<void>
}

/** Names of the exports map, as users write them: `authsec-sdk`, `authsec-sdk/tls`, … */
export async function subpaths(): Promise<string[]> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>
  }
  return Object.keys(exports)
    .filter((key) => key !== './package.json')
    .map((key) => key.replace(/^\./, 'authsec-sdk'))
}

/**
 * Packs the repository as it is built and installs the tarball without development dependencies.
 * @param beside - Further packages, as `name@range`: what a user of the optional entries installs.
 */
export async function packAndInstall(beside: readonly string[] = []): Promise<Installed> {
  const directory = await mkdtemp(join(tmpdir(), 'installed-'))
  const packed = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', directory], {
    cwd: root,
  })
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }]
  const tarball = join(directory, filename)
  await writeFile(join(directory, 'package.json'), '{ "private": true, "type": "module" }')
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  await run('npm', ['install', ...flags, tarball, ...beside], { cwd: directory })
  return {
    tarball,
    directory,
    exec: async (command, args) => (await run(command, [...args], { cwd: directory, timeout: 60_000 })).stdout,
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}

/** Bytes of all files below a directory. */
export async function sizeOf(directory: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  }
  return bytes
}

/** The range that `package.json` gives for a package, in whichever list it stands. */
export async function rangeOf(name: string): Promise<string> {
  const lists = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>
  const range = lists['devDependencies']?.[name] ?? lists['dependencies']?.[name]
  if (!range) throw new Error(`package.json does not name ${name}`)
  return `${name}@${range}`
}
